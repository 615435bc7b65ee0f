"""An app as teams have it on LeanEngine, written with the official SDK for Python. The same as app.js."""

import os
import sys

import leancloud
from werkzeug.serving import make_server

leancloud.init(
    os.environ["LEANCLOUD_APP_ID"],
    app_key=os.environ["LEANCLOUD_APP_KEY"],
    master_key=os.environ["LEANCLOUD_APP_MASTER_KEY"],
    hook_key=os.environ["LEANCLOUD_APP_HOOK_KEY"],
)
leancloud.use_region("CN")
engine = leancloud.Engine()


@engine.define
def whoAmI(n=None):
    user = engine.current.user
    return {"user": user.get("username") if user else None, "n": n}


@engine.define
def refuse():
    raise leancloud.LeanEngineError(4711, "not today", 418)


@engine.define
def countReviews():
    return leancloud.Query("Review").count()


@engine.before_save("Review")
def before_review_save(review):
    if review.get("stars") > 5:
        raise leancloud.LeanEngineError("at most five stars")
    user = engine.current.user
    review.set("by", user.get("username") if user else "nobody")


@engine.after_save("Review")
def after_review_save(review):
    note = leancloud.Object.extend("Note")()
    note.set("about", review.id)
    note.save()


@engine.before_update("Review")
def before_review_update(review):
    if "stars" in review.updated_keys:
        raise leancloud.LeanEngineError("the stars stay")


@engine.before_delete("Review")
def before_review_delete(review):
    raise leancloud.LeanEngineError("reviews stay")


server = make_server("127.0.0.1", 0, engine, threaded=True)
print(server.server_port)
sys.stdout.flush()
server.serve_forever()
