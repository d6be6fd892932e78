"""Sends a mail with django-anymail's backend for Resend, which has no way to say an Idempotency-Key."""

import json
import sys

import django
from django.conf import settings
from letter import letter

order = json.load(sys.stdin)
settings.configure(
    EMAIL_BACKEND="anymail.backends.resend.EmailBackend",
    ANYMAIL={"RESEND_API_KEY": order["key"], "RESEND_API_URL": f"{order['url']}/resend/"},
)
django.setup()
letter(order["mail"], {}).send()
