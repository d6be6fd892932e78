"""Sends a mail with Django's SMTP backend."""

import json
import sys

import django
from django.conf import settings
from letter import letter

order = json.load(sys.stdin)
settings.configure(
    EMAIL_HOST=order["host"],
    EMAIL_PORT=order["ports"]["implicit"],
    EMAIL_USE_SSL=True,
    EMAIL_HOST_USER="anything",
    EMAIL_HOST_PASSWORD=order["key"],
)
django.setup()
key = order["mail"]["key"]
letter(order["mail"], {"Idempotency-Key": key} if key else {}).send()
