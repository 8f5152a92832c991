"""Writes what Django and Flask make, with python3-django and python3-flask:
python3 vectors.py >python.json
"""
import json

import django
import flask
from django.conf import settings

SECRET = "zK3vN8qPxR5tY7wB2dF4gH6jL9mC1sA0uE7kQ2hT5bX8nV3pJ6yM9cW4rG1fD0zL"
settings.configure(SECRET_KEY=SECRET)
django.setup()
from django.http import HttpResponse  # noqa: E402


def by_django(value):
    response = HttpResponse()
    response.set_signed_cookie("user", value)
    return response.cookies["user"].OutputString().split(";")[0].split("=", 1)[1]


def by_flask(session):
    app = flask.Flask("vectors")
    app.secret_key = SECRET

    @app.route("/")
    def index():
        flask.session.update(session)
        return ""

    header = app.test_client().get("/").headers["Set-Cookie"]
    return header.split(";")[0].split("=", 1)[1]


IDS = ["ann", "anna.b@example.com", "42", "a:b:c"]
SESSIONS = [
    ("ann", {"_user_id": "ann", "_fresh": True}),
    ("7", {"_user_id": 7}),
    ("ann", {"_user_id": "ann", "cart": ["the same text again and again"] * 50}),
    ("", {"_user_id": ["ann"]}),
    ("", {"other": "ann"}),
]
print(json.dumps({
    "secret": SECRET,
    "django": [{"id": i, "cookie": by_django(i)} for i in IDS],
    "flask": [{"id": i, "cookie": by_flask(s)} for i, s in SESSIONS],
}, indent=1))
