import io
from unittest import TestCase

import requests

import support
import leancloud
from support import kind, master


class Files(TestCase):
    # compat: file.upload file.read file.download file.delete
    def test_file_uploaded_read_and_attached(self):
        file = leancloud.File("notes.txt", io.BytesIO(b"a few words"))
        file.save()
        served = requests.get(file.url, timeout=10)
        self.assertEqual((served.status_code, served.content), (200, b"a few words"))
        Mail = kind("Mail")
        mail = Mail(attachment=file)
        mail.save()
        attached = Mail.query.get(mail.id).get("attachment")
        self.assertEqual((attached.id, attached.name, attached.url), (file.id, "notes.txt", file.url))
        with master():
            file.destroy()

    # compat: file.external
    def test_file_that_lies_elsewhere(self):
        file = leancloud.File.create_with_url("logo.png", "http://example.com/logo.png")
        file.save()
        self.assertEqual(file.url, "http://example.com/logo.png")
