from unittest import TestCase

import support
import leancloud
from support import acting_as, kind, master, refusal, sign_up, unique


class Users(TestCase):
    def tearDown(self):
        leancloud.User.set_current(None)

    # compat: user.sign_up user.sign_up.class_path user.log_in user.me user.wrong_password
    def test_user_signs_up_and_logs_in(self):
        name = unique("ming")
        user = leancloud.User(nickname="Ming")
        user.set_email(f"{name}@example.com")
        user.sign_up(name, "correct horse")
        token = user.get_session_token()
        self.assertRegex(token, r"^[0-9a-z]{25}$")
        back = leancloud.User()
        back.login(name, "correct horse")
        self.assertEqual((back.id, back.get_session_token(), back.get("nickname")), (user.id, token, "Ming"))
        by_email = leancloud.User()
        by_email.login(email=f"{name}@example.com", password="correct horse")
        self.assertEqual(by_email.id, user.id)
        self.assertEqual(leancloud.User.become(token).id, user.id)
        self.assertTrue(back.is_authenticated())
        self.assertEqual(refusal(self, leancloud.User().login, name, "wrong").code, 210)
        self.assertEqual(refusal(self, leancloud.User.become, "0123456789abcdefghijklmno").code, 211)

    # compat: user.update user.update_password user.refresh_token user.owner_rules
    def test_user_changed_by_themselves_alone(self):
        user, other = sign_up(), sign_up()
        with acting_as(user):
            user.set("nickname", "M")
            user.save()
        stranger = leancloud.User.create_without_data(user.id)
        stranger.set("nickname", "theirs")
        with acting_as(other):
            self.assertEqual(refusal(self, stranger.save).code, 206)
        before = user.get_session_token()
        with acting_as(user):
            user.update_password(f"password of {user.get_username()}", "a new one")
        again = leancloud.User()
        again.login(user.get_username(), "a new one")
        self.assertNotEqual(again.get_session_token(), before)
        with acting_as(again):
            again.refresh_session_token()
            self.assertTrue(again.is_authenticated())

    # compat: acl.read acl.write
    def test_acl_an_object_is_its_owners(self):
        Diary = kind("Diary")
        owner, other = sign_up(), sign_up()
        acl = leancloud.ACL()
        acl.set_read_access(owner.id, True)
        acl.set_write_access(owner.id, True)
        page = Diary(text="mine")
        page.set_acl(acl)
        with acting_as(owner):
            page.save()
            self.assertEqual(Diary.query.count(), 1)
        with acting_as(other):
            self.assertEqual(Diary.query.count(), 0)
            copy = Diary.create_without_data(page.id)
            copy.set("text", "theirs")
            self.assertEqual(refusal(self, copy.save).code, 403)
            self.assertEqual(refusal(self, copy.destroy).code, 403)
        shown = None
        with acting_as(owner):
            shown = Diary.query.include_acl(True).find()[0]
        self.assertTrue(shown.get_acl().get_read_access(owner.id))

    # compat: role.create role.members role.of_user role.name
    def test_role_members_have_its_rights(self):
        Page = kind("Page")
        member, guest = sign_up(), sign_up()
        acl = leancloud.ACL()
        acl.set_public_read_access(True)
        role = leancloud.Role(unique("editors"), acl)
        role.get_users().add(member)
        with master():
            role.save()
        acl = leancloud.ACL()
        acl.set_role_read_access(role, True)
        page = Page(n=1)
        page.set_acl(acl)
        page.save()
        for who, count in [(member, 1), (guest, 0)]:
            with acting_as(who):
                self.assertEqual(Page.query.count(), count)
        self.assertEqual([each.get("name") for each in member.get_roles()], [role.get_name()])
        taken = leancloud.Role(role.get_name(), leancloud.ACL())
        with master():
            self.assertEqual(refusal(self, taken.save).code, 137)


class Functions(TestCase):
    def tearDown(self):
        leancloud.User.set_current(None)

    # compat: cloud.run cloud.rpc cloud.error cloud.user
    def test_cloud_functions(self):
        self.assertEqual(leancloud.cloud.run("greet", name="Ming"), {"text": "Hello, Ming!", "by": None})
        user = sign_up()
        with acting_as(user):
            self.assertEqual(leancloud.cloud.run("greet", name="M")["by"], user.id)
        refused = refusal(self, leancloud.cloud.run, "refuse")
        self.assertEqual((refused.code, refused.error), (4711, "Not today."))
        Parcel = kind("Parcel")
        parcel = Parcel(n=1)
        parcel.save()
        answer = leancloud.cloud.rpc("echo", object=parcel, list=[parcel, 1])
        # This SDK sends an object by its id.
        self.assertEqual((answer["object"].id, answer["list"][0].id, answer["list"][1]), (parcel.id, parcel.id, 1))

    # compat: hook.before_save hook.error
    def test_hook_runs_around_the_writes_of_a_class(self):
        Review = leancloud.Object.extend("Review")
        review = Review(stars=4, text="x" * 200)
        review.save()
        review.fetch()
        self.assertEqual(len(review.get("text")), 100)
        self.assertEqual(refusal(self, Review(stars=6, text="").save).code, 142)


class Platforms(TestCase):
    def tearDown(self):
        leancloud.User.set_current(None)

    # compat: auth_data.log_in auth_data.link auth_data.unlink
    def test_user_known_by_a_platform(self):
        data = {"uid": unique("uid"), "access_token": "token"}
        user = leancloud.User.login_with("somewhere", data)
        again = leancloud.User.login_with("somewhere", data)
        self.assertEqual(again.id, user.id)
        again.link_with("elsewhere", {"uid": unique("uid"), "access_token": "token"})
        again.unlink_from("somewhere")
        again.fetch()
        self.assertEqual(list(again.get("authData")), ["elsewhere"])
