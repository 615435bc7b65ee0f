from datetime import datetime, timezone
from unittest import TestCase

import support
import leancloud
from support import kind, master, refusal


class Queries(TestCase):
    @classmethod
    def setUpClass(cls):
        cls.Player = kind("Player")
        players = []
        for n in range(10):
            player = cls.Player(
                n=n,
                name=f"player {n}",
                even=n % 2 == 0,
                tags=["all", "third"] if n % 3 == 0 else ["all"],
                at=datetime(2026, 1, n + 1, tzinfo=timezone.utc),
            )
            if n > 7:
                player.set("late", True)
            players.append(player)
        cls.Player.save_all(players)

    def found(self, query):
        return [player.get("n") for player in query.ascending("n").find()]

    # compat: where.equality where.comparison where.in where.exists where.arrays where.regex where.or_and
    def test_query_conditions(self):
        query = lambda: self.Player.query
        any_of, all_of = leancloud.Query.or_, leancloud.Query.and_
        cases = [
            (query().equal_to("n", 3), [3]),
            (query().not_equal_to("even", True), [1, 3, 5, 7, 9]),
            (query().greater_than("n", 6).less_than_or_equal_to("n", 8), [7, 8]),
            (query().less_than("at", datetime(2026, 1, 3, tzinfo=timezone.utc)), [0, 1]),
            (query().contained_in("n", [1, 2, 30]), [1, 2]),
            (query().not_contained_in("n", [0, 1, 2, 3, 4, 5]), [6, 7, 8, 9]),
            (query().exists("late"), [8, 9]),
            (query().does_not_exist("late").greater_than("n", 6), [7]),
            (query().equal_to("tags", "third"), [0, 3, 6, 9]),
            (query().contains_all("tags", ["third", "all"]), [0, 3, 6, 9]),
            (query().size_equal_to("tags", 1).less_than("n", 3), [1, 2]),
            (query().startswith("name", "player").less_than("n", 2), [0, 1]),
            (query().contains("name", "yer 4"), [4]),
            (query().endswith("name", " 5"), [5]),
            (query().matched("name", "^PLAYER [12]$", ignore_case=True), [1, 2]),
            (any_of(query().less_than("n", 1), query().greater_than("n", 8)), [0, 9]),
            (all_of(query().greater_than("n", 3), query().less_than("n", 5)), [4]),
        ]
        for each, expected in cases:
            self.assertEqual(self.found(each), expected, each.dump())

    # compat: query.order query.limit query.skip query.count query.keys
    def test_query_order_pages_counts_and_parts(self):
        page = self.Player.query.descending("n").skip(2).limit(3).find()
        self.assertEqual([player.get("n") for player in page], [7, 6, 5])
        self.assertEqual(self.Player.query.greater_than("n", 4).count(), 5)
        self.assertEqual(self.Player.query.descending("n").first().get("n"), 9)
        part = self.Player.query.select("n").first()
        self.assertIsNone(part.get("tags"))
        self.assertEqual(refusal(self, self.Player.query.equal_to("n", 99).first).code, 101)

    # compat: query.include where.in_query where.select
    def test_query_over_pointers(self):
        Team, Member = kind("Team"), kind("Member")
        red, blue = Team(name="red", city="Xian"), Team(name="blue", city="Wuhan")
        Team.save_all([red, blue])
        members = [Member(n=1, team=red, home="Xian"), Member(n=2, team=blue, home="Harbin")]
        Member.save_all(members)
        inner = Team.query.equal_to("name", "red")
        self.assertEqual(self.found(Member.query.equal_to("team", blue)), [2])
        self.assertEqual(self.found(Member.query.matches_query("team", inner)), [1])
        self.assertEqual(self.found(Member.query.does_not_match_query("team", inner)), [2])
        self.assertEqual(self.found(Member.query.matches_key_in_query("home", "city", Team.query)), [1])
        self.assertEqual(self.found(Member.query.does_not_match_key_in_query("home", "city", Team.query)), [2])
        shown = Member.query.include("team").ascending("n").find()
        self.assertEqual(shown[0].get("team").get("name"), "red")

    # compat: geo.near geo.distance geo.min_distance geo.box
    def test_query_near(self):
        Place = kind("Place")
        places = {"beijing": (39.9, 116.4), "tianjin": (39.1, 117.2), "shanghai": (31.2, 121.5)}
        Place.save_all([Place(name=name, at=leancloud.GeoPoint(*at)) for name, at in places.items()])
        here = leancloud.GeoPoint(39.1, 117.2)
        names = lambda query: [place.get("name") for place in query.find()]
        self.assertEqual(names(Place.query.near("at", here)), ["tianjin", "beijing", "shanghai"])
        self.assertEqual(names(Place.query.within_kilometers("at", here, 200)), ["tianjin", "beijing"])
        self.assertEqual(names(Place.query.within_kilometers("at", here, 200, 10)), ["beijing"])
        self.assertEqual(names(Place.query.within_miles("at", here, 10)), ["tianjin"])
        box = Place.query.within_geo_box("at", leancloud.GeoPoint(30, 110), leancloud.GeoPoint(39.5, 125))
        self.assertEqual(sorted(names(box)), ["shanghai", "tianjin"])

    # compat: scan scan.cursor
    def test_query_a_scan_shows_every_object_once(self):
        with master():
            seen = [each.get("n") for each in self.Player.query.less_than("n", 7).scan(batch_size=3)]
        self.assertEqual(sorted(seen), list(range(7)))

    # compat: cql
    def test_query_cql(self):
        name = self.Player._class_name
        found = leancloud.Query.do_cloud_query(f"select * from {name} where n > ? order by n limit 2", 3)
        self.assertEqual([player.get("n") for player in found.results], [4, 5])
        counted = leancloud.Query.do_cloud_query(f"select count(*) from {name}")
        self.assertEqual(counted.count, 10)
