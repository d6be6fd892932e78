"""Sends a mail with Python's smtplib."""

import json
import smtplib
import ssl
import sys

order = json.load(sys.stdin)
with smtplib.SMTP(order["host"], order["ports"]["starttls"]) as smtp:
    smtp.starttls(context=ssl.create_default_context())
    smtp.login("anything", order["key"])
    smtp.sendmail(order["mail"]["from"]["address"], order["recipients"], order["complete"].encode(), ["BODY=8BITMIME"])
