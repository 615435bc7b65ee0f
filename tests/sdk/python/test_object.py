from datetime import datetime, timezone
from unittest import TestCase

import support
import leancloud
from support import kind, refusal


class Objects(TestCase):
    # compat: object.create object.get object.update object.delete
    def test_object_saved_read_changed_destroyed(self):
        Plant = kind("Plant")
        plant = Plant(name="fern")
        plant.save()
        self.assertRegex(plant.id, r"^[0-9a-f]{24}$")
        read = Plant.query.get(plant.id)
        self.assertEqual(read.get("name"), "fern")
        plant.set("height", 3)
        plant.save()
        read.fetch()
        self.assertEqual(read.get("height"), 3)
        plant.destroy()
        gone = Plant.query.equal_to("objectId", plant.id)
        self.assertEqual(refusal(self, gone.first).code, 101)

    # compat: values.types
    def test_object_a_value_of_every_type(self):
        Sample = kind("Sample")
        other = Sample(name="other")
        other.save()
        values = {
            "text": '中文 "quoted" \\ /',
            "integer": 42,
            "double": -1.5,
            "flag": False,
            "list": [1, "two", {"three": None}],
            "nested": {"a": {"b": [True]}},
        }
        at = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
        sample = Sample(**values)
        sample.set({"at": at, "where": leancloud.GeoPoint(39.9, 116.4), "other": other})
        sample.save()
        read = Sample.query.get(sample.id)
        for key, value in values.items():
            self.assertEqual(read.get(key), value, key)
        self.assertEqual(read.get("at"), at)
        self.assertEqual((read.get("where").latitude, read.get("where").longitude), (39.9, 116.4))
        self.assertEqual(read.get("other").id, other.id)

    # compat: op.increment op.add op.add_unique op.remove op.delete op.bits op.on_create object.fetch_when_save
    def test_object_operations(self):
        Tally = kind("Tally")
        tally = Tally(n=1, list=[1, 2], mask=0b1100, gone="x")
        tally.save()
        tally.increment("n", 4)
        tally.add("list", 2)
        tally.bit_and("mask", 0b0110)
        tally.unset("gone")
        tally.save(fetch_when_save=True)
        self.assertEqual((tally.get("n"), tally.get("list"), tally.get("mask")), (5, [1, 2, 2], 0b0100))
        tally.add_unique("list", 3)
        tally.bit_or("mask", 1)
        tally.save()
        tally.remove("list", 2)
        tally.bit_xor("mask", 0b1111)
        tally.save()
        read = Tally.query.get(tally.id)
        self.assertEqual((read.get("list"), read.get("mask"), read.get("gone")), ([1, 3], 0b1010, None))
        fresh = Tally()
        fresh.increment("n", 7)
        fresh.add("list", "a")
        fresh.save(fetch_when_save=True)
        self.assertEqual((fresh.get("n"), fresh.get("list")), (7, ["a"]))

    # compat: object.conditional
    def test_object_a_conditional_save(self):
        Account = kind("Account")
        account = Account(balance=100)
        account.save()

        def pay(amount):
            payer = Account.create_without_data(account.id)
            payer.increment("balance", -amount)
            payer.save(where=Account.query.greater_than_or_equal_to("balance", amount), fetch_when_save=True)
            return payer.get("balance")

        self.assertEqual(pay(70), 30)
        self.assertEqual(refusal(self, pay, 70).code, 305)

    # compat: type.mismatch key.names
    def test_object_what_is_refused(self):
        Typed = kind("Typed")
        typed = Typed(n=1)
        typed.save()
        typed.set("n", "text")
        self.assertEqual(refusal(self, typed.save).code, 111)
        self.assertEqual(refusal(self, Typed(**{"a-b": 1}).save).code, 105)

    # compat: object.keys object.include
    def test_object_fetched_in_part_and_with_what_it_points_to(self):
        Book, Person = kind("Book"), kind("Person")
        author = Person(name="Lu Xun")
        book = Book(title="Call to Arms", pages=200, author=author)
        book.save()
        whole = Book.create_without_data(book.id)
        whole.fetch(include=["author"])
        self.assertEqual(whole.get("author").get("name"), "Lu Xun")
        part = Book.create_without_data(book.id)
        part.fetch(select=["title"])
        self.assertEqual((part.get("title"), part.get("pages")), ("Call to Arms", None))

    # compat: batch.order batch.partial
    def test_batch_many_at_once(self):
        Item = kind("Item")
        items = [Item(n=n) for n in range(12)]
        Item.save_all(items)
        self.assertEqual(Item.query.count(), 12)
        Item.destroy_all(items[:10])
        self.assertEqual(Item.query.count(), 2)

    # compat: relation.add relation.remove relation.query relation.reverse
    def test_relation_from_both_ends(self):
        Reader, Post = kind("Reader"), kind("Post")
        posts = [Post(title=title) for title in "abc"]
        Post.save_all(posts)
        reader = Reader()
        reader.relation("likes").add(*posts)
        reader.save()
        titles = [post.get("title") for post in reader.relation("likes").query.ascending("title").find()]
        self.assertEqual(titles, ["a", "b", "c"])
        reader.relation("likes").remove(posts[0])
        reader.save()
        self.assertEqual(reader.relation("likes").query.count(), 2)
        found = leancloud.Relation.reverse_query(Reader._class_name, "likes", posts[1]).find()
        self.assertEqual([each.id for each in found], [reader.id])

    # compat: date
    def test_date(self):
        self.assertLess(abs((leancloud.cloud.get_server_time() - datetime.now(timezone.utc)).total_seconds()), 60)
