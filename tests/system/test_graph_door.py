"""Graph in, Graph out, with the real program: an app asks posthouse for a token in Entra's place and sends by sendMail."""

import asyncio

import httpx

SENDER = "app@contoso.example"
MAIL = {"subject": "by Graph", "body": {"content": "Grüße"}, "toRecipients": [{"emailAddress": {"address": "jo@example.net"}}]}  # fmt: skip
URL = "https://posthouse.contoso.example"


async def test_an_app_of_graph_changes_host_id_and_secret(launch, emulator):
    service = await launch(graph_door={"token_endpoint": True}, http={"public_url": URL})
    key = await service.make_key(SENDER)
    http = httpx.AsyncClient(base_url=service.http.base_url)
    found = (await http.get("/contoso.com/v2.0/.well-known/openid-configuration")).json()
    assert found["token_endpoint"].startswith(URL)
    secret = {"client_id": key.split("_")[2], "client_secret": key}
    form = {"grant_type": "client_credentials", "scope": "https://graph.microsoft.com/.default"} | secret
    answer = await http.post(found["token_endpoint"].removeprefix(URL), data=form)
    http.headers["authorization"] = f"Bearer {answer.json()['access_token']}"
    sent = await http.post("/v1.0/me/sendMail", json={"message": MAIL})
    assert (sent.status_code, sent.content) == (202, b"")
    message = sent.headers["request-id"]
    assert await service.until([message]) == {message: "sent"}
    while not emulator.world.received:
        await asyncio.sleep(0.05)
    (received,) = emulator.world.received
    assert (received.subject, received.mailbox) == ("by Graph", SENDER)
    assert (await http.get(sent.headers["location"])).json()["door"] == "graph"
    assert (await service.admin("POST", "/v1.0/me/sendMail", json={"message": MAIL})).status_code == 404
    assert (await service.admin("POST", "/contoso.com/oauth2/v2.0/token", data=form)).status_code == 404
    for told in (key, answer.json()["access_token"], "jo@example.net"):
        assert told not in service.log.read_text()
    await http.aclose()


async def test_without_the_setting_no_tokens_are_given_and_a_key_is_the_bearer(launch):
    service = await launch()
    key = await service.make_key(SENDER)
    form = {"grant_type": "client_credentials", "client_id": key.split("_")[2], "client_secret": key}
    for method, path in (
        ("POST", "/contoso.com/oauth2/v2.0/token"),
        ("GET", "/contoso.com/v2.0/.well-known/openid-configuration"),
        ("GET", "/common/discovery/instance"),
    ):
        answer = await service.http.request(method, path, data=form if method == "POST" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    sent = await service.http.post(f"/v1.0/users/{SENDER}/sendMail", json={"message": MAIL})
    assert sent.status_code == 202, sent.text
