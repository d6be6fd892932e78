"""sendmail's command line and message, as programs give them and as they leave."""

import io
import os

import pytest

from posthouse.cli.sendmail import entry
from posthouse.cli.sendmail.message import read, whole
from posthouse.cli.sendmail.options import Options, parse
from posthouse.cli.sendmail.settings import SendmailSettings, load
from posthouse.cli.sendmail.sysexits import Ended, Exit

SETTINGS = SendmailSettings(url="http://x", key="k", domain="contoso.com", aliases={"root": ("it@contoso.com",)})


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        (("a@x.com",), Options(recipients=("a@x.com",))),
        (("-t", "-i"), Options(from_header=True, dots=True)),  # PHP
        (("-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"), Options(name="CronDaemon", dots=True, recipients=("root",))),
        (("-i", "-f", "me@x.com", "--", "-odd@x.com"), Options(dots=True, sender="me@x.com", recipients=("-odd@x.com",))),
        (("-oi", "-fme@x.com", "a@x.com", "-t"), Options(dots=True, sender="me@x.com", recipients=("a@x.com", "-t"))),
        (("-ti", "-r", "me@x.com"), Options(from_header=True, dots=True, sender="me@x.com")),
        (("-it", "-f", "<>", "-N", "never", "-R", "hdrs", "-V", "id"), Options(from_header=True, dots=True, sender="<>")),
        (("-bm", "-O", "IgnoreDots=true", "-oQ/var/spool", "-v", "a@x.com"), Options(dots=True, verbose=True, recipients=("a@x.com",))),
        (("-bs",), Options(mode="s")),
        (("-bi",), Options(mode="i")),
        (("-I",), Options(mode="i")),
        (("-q30m",), Options(flush=True)),
        (("-odb", "-om", "-em", "-L", "tag", "-h", "3", "-G", "-U", "-n", "x@x.com"), Options(recipients=("x@x.com",))),
    ],
)  # fmt: skip
def test_a_command_line_is_understood_as_programs_write_it(line, wanted):
    assert parse(line) == wanted


@pytest.mark.parametrize(
    "line", [("-z",), ("-f",), ("-N", "sometimes"), ("-B", "BINARY"), ("-R", "all"), ("-h", "x"), ("--recipient", "a")]
)
def test_what_no_sendmail_knows_is_refused(line):
    with pytest.raises(Ended) as ended:
        parse(line)
    assert ended.value.code is Exit.USAGE


def letter(text: str, *, dots: bool = False) -> tuple[bytes, bytes]:
    message = read(io.BytesIO(text.encode()), dots=dots)
    with message.body:
        header, *body = message.blocks(message.header)
    assert len(b"".join(body)) == message.size
    return header, b"".join(body)


def test_the_message_ends_at_a_lone_dot_unless_it_was_said_otherwise():
    text = "Subject: s\n\none\n.\ntwo\n"
    assert letter(text) == (b"Subject: s\r\n\r\n", b"one\n")
    assert letter(text.replace("\n", "\r\n")) == (b"Subject: s\r\n\r\n", b"one\r\n")
    assert letter(text, dots=True) == (b"Subject: s\r\n\r\n", b"one\n.\ntwo\n")
    assert letter("Subject: s\n\none\n..\n.dot\n")[1] == b"one\n..\n.dot\n"


@pytest.mark.parametrize(
    ("text", "header", "body"),
    [
        ("just a line\nand one more\n", b"\r\n", b"just a line\nand one more\n"),
        ("\nbody\n", b"\r\n", b"body\n"),
        ("Subject: s\nno field\n\nbody\n", b"Subject: s\r\n\r\n", b"no field\n\nbody\n"),
        ("Subject: s\n folded\n\tmore\n\nbody", b"Subject: s\r\n folded\r\n\tmore\r\n\r\n", b"body"),
        ("From root Sat Jan  3 01:05:34 1996\nSubject: s\n\nbody\n", b"Subject: s\r\n\r\n", b"body\n"),
        (" first line is none\nSubject: s\n", b"\r\n", b" first line is none\nSubject: s\n"),
        ("", b"\r\n", b""),
    ],
)
def test_the_header_ends_where_no_field_is_any_more(text, header, body):
    assert letter(text) == (header, body)


def made(header: str, *line: str, settings: SendmailSettings = SETTINGS) -> tuple[str, tuple[str, ...]]:
    block = header.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
    ready = whole(block, parse(line), settings, user=lambda: "www-data")
    return ready.header.decode().replace("\r\n", "\n"), ready.recipients


def test_a_message_that_is_whole_stays_byte_for_byte():
    header = 'From:  "A, B" <a@x.com>\nTo: b@x.com (c),\n d@x.com\nX: y\n'
    assert made(header, "b@x.com") == (header, ("b@x.com",))


def test_who_sends_is_said_by_the_options_else_by_the_user():
    assert made("Subject: s\n", "b@x.com")[0] == "Subject: s\nFrom: www-data@contoso.com\n"
    assert made("", "-fa@x.com", "-F", "Jörg, the Shop", "b@x.com")[0].startswith("From: =?utf-8?")
    assert made("", "-f", "root", "-FCron", "b@x.com")[0] == "From: Cron <root@contoso.com>\n"
    assert made("", "-f", "<>", "b@x.com")[0] == "From: www-data@contoso.com\n"
    assert made("From: z@x.com\n", "-fa@x.com", "b@x.com")[0] == "From: z@x.com\n"


def test_what_cron_writes_becomes_a_mail_that_a_server_takes():
    header, recipients = made(
        "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@web1> job\n", "-i", "-FCronDaemon", "root"
    )
    assert recipients == ("it@contoso.com",)
    assert header == ("From: Cron Daemon <root@contoso.com>\nTo: it@contoso.com\nSubject: Cron <root@web1> job\n")


def test_t_takes_the_recipients_of_the_header_and_those_of_the_line_each_once():
    header = "To: A <a@x.com>, root\nCc: a@X.com, team: b@x.com, c@x.com;\nBcc: d@x.com\nFrom: f@x.com\n"
    assert made(header, "-t", "e@x.com, Root")[1] == (
        "e@x.com", "it@contoso.com", "a@x.com", "b@x.com", "c@x.com", "d@x.com",
    )  # fmt: skip
    assert made(header, "e@x.com")[1] == ("e@x.com",)
    resent = f"{header}Resent-To: r@x.com\nResent-Bcc: s@x.com\n"
    assert made(resent, "-t")[1] == ("r@x.com", "s@x.com")
    assert "Resent-Bcc" not in made(resent, "-t")[0]
    assert made("To: undisclosed-recipients:;\nBcc: d@x.com\nFrom: f@x.com\n", "-t")[1] == ("d@x.com",)


@pytest.mark.parametrize(
    ("header", "line", "code"),
    [
        ("To: a@x.com\n", (), Exit.USAGE),
        ("Subject: s\n", ("-t",), Exit.DATAERR),
        ("To: undisclosed-recipients:;\n", ("-t",), Exit.DATAERR),
        ("To: a@x.com, <b@@x>\n", ("-t",), Exit.NOUSER),
        ("", ("a b@x.com",), Exit.NOUSER),
        ("", ("a@x.com", "<b@x.com"), Exit.NOUSER),
    ],
)
def test_a_message_that_nobody_could_get_is_refused(header, line, code):
    with pytest.raises(Ended) as ended:
        made(header, *line)
    assert ended.value.code is code


def test_every_from_is_the_one_of_the_settings_and_who_stood_there_gets_the_answers():
    ours = SendmailSettings(url="http://x", key="k", domain="web1", rewrite_from="server@contoso.com")
    assert made("From: Kunde Ä <c@x.com>\nSender: w@x.com\nSubject: s\n", "b@x.com", settings=ours)[0] == (
        "Subject: s\nFrom: =?utf-8?q?Kunde_=C3=84?= <server@contoso.com>\nReply-To: c@x.com\n"
    )
    assert made("Reply-To: r@x.com\n", "b@x.com", settings=ours)[0] == (
        'Reply-To: r@x.com\nFrom: "www-data@web1" <server@contoso.com>\n'
    )
    same = "From: Shop <Server@contoso.com>\n"
    assert made(same, "b@x.com", settings=ours)[0] == same


def test_settings_come_from_the_file_and_the_environment_stands_above_it(tmp_path):
    (tmp_path / "key").write_text("ph_live_x\n")
    path = tmp_path / "sendmail.toml"
    path.write_text(f'url = "http://a/"\nkey = "file:{tmp_path}/key"\n[aliases]\nROOT = ["a@x.com", "b@x.com"]\n')
    found = load({"POSTHOUSE_SENDMAIL": str(path)})
    assert (found.url, found.key, found.aliases) == ("http://a", "ph_live_x", {"root": ("a@x.com", "b@x.com")})
    found = load({"POSTHOUSE_SENDMAIL": str(path), "POSTHOUSE_URL": "http://b", "POSTHOUSE_KEY": "k"})
    assert (found.url, found.key) == ("http://b", "k")
    assert "ph_live" not in repr(load({"POSTHOUSE_SENDMAIL": str(path)}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('urll = "x"', "urll: there is no such setting (did you mean 'url'?)"),
        ("url = 5", "url: it is text"),
        ('url = "http://a"', "key is missing"),
        ('key = "k"', "url is missing"),
        ('url = "http://a"\nkey = "file:/none"', "file:/none cannot be read"),
        ('url = "http://a"\nkey = "k"\nrewrite_from = "me"', "rewrite_from: it is an address"),
        ('url = "http://a"\nkey = "k"\n[aliases]\nroot = "me"', "aliases.root: an alias is one address"),
        ('url = "http://a"\nkey = "k"\n[aliases]\n"a@b" = "a@x.com"', "aliases.a@b: a name here has no domain"),
        ("url", "is no TOML"),
    ],
)
def test_wrong_settings_are_named_by_file_and_rule(tmp_path, text, words):
    path = tmp_path / "sendmail.toml"
    path.write_text(text)
    with pytest.raises(Ended) as ended:
        load({"POSTHOUSE_SENDMAIL": str(path)})
    assert ended.value.code is Exit.CONFIG
    assert words in str(ended.value)


def test_newaliases_and_runs_of_the_queue_have_nothing_to_do_and_smtp_is_refused(monkeypatch, capsys):
    monkeypatch.setitem(os.environ, "POSTHOUSE_SENDMAIL", "/none")
    assert [entry.sendmail(line) for line in (["-bi"], ["-q"], ["-q15m"])] == [0, 0, 0]
    assert [entry.sendmail([mode]) for mode in ("-bs", "-bp", "-bd", "-bv", "-bx")] == [64] * 5
    assert entry.sendmail(["a@x.com"]) == 78
    assert "SMTP door" in capsys.readouterr().err
