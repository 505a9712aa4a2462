"""The server beyond loopback: TLS or a word that it is meant, the names it answers to, its ports."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import httpx2
import pytest
import trustme
from web import LOOPBACK, PERSONS, run, site

from madrox_nb.errors import ServerError
from madrox_nb.listening import check_certificate, check_safe, listen, reached_at
from madrox_nb.server import Server

pytestmark = pytest.mark.slow

ANYWHERE = "0.0.0.0"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate for two names of this machine, as settings."""
    directory = tmp_path_factory.mktemp("tls")
    issued = authority.issue_cert("madrox.test", "127.0.0.1")
    cert, key = directory / "cert.pem", directory / "key.pem"
    cert.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return {"tls_cert": cert, "tls_key": key}


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_with_a_certificate_others_speak_tls_and_agents_of_this_machine_come_in_all_the_same(
    tmp_path: Path, authority: trustme.CA, certificate: dict[str, Path]
) -> None:
    async def story() -> None:
        async with site(tmp_path, host=ANYWHERE, hosts=("madrox.test",), **certificate) as on:
            public = httpx2.URL(on.server.public_url)
            headers = {"Authorization": f"Bearer {PERSONS}"}
            async with httpx2.AsyncClient(verify=trusting(authority), headers=headers) as far:
                base = f"https://{LOOPBACK}:{public.port}"
                by_address = await far.get(f"{base}/health")
                by_name = await far.get(f"{base}/health", headers={"Host": f"madrox.test:{public.port}"})
                by_foreign = await far.get(f"{base}/health", headers={"Host": "evil.test"})
                nobody = await far.get(f"{base}/instances", headers={"Authorization": ""})
                with pytest.raises(httpx2.TransportError):
                    await far.get(f"http://{LOOPBACK}:{public.port}/health")
            async with httpx2.AsyncClient() as stranger:
                with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await stranger.get(f"{base}/health")
            await on.manager.spawn("lead")
            grown = await on.manager.send("lead", "/spawn kid")

            assert ("https", "madrox.test") == (public.scheme, public.host)
            assert [200, 200, 421, 401] == [
                each.status_code for each in (by_address, by_name, by_foreign, nobody)
            ]
            assert "you" == by_address.json()["caller"]
            assert on.server.url.startswith(f"http://{LOOPBACK}:")
            assert "lead" == on.manager.tree["kid"].parent, grown.text

    run(story())


def test_beyond_loopback_without_tls_it_is_refused_unless_it_is_said_that_it_is_meant(tmp_path: Path) -> None:
    """W18: it must not be reached from elsewhere by accident, and never without a token."""

    async def story() -> None:
        with pytest.raises(ServerError, match="ORCHESTRATOR_INSECURE=yes"):
            async with site(tmp_path, host=ANYWHERE):
                pass
        async with site(tmp_path, host=ANYWHERE, insecure="yes") as on, on.bearing("") as nobody:
            assert LOOPBACK == httpx2.URL(on.server.url).host, "where this machine's agents reach it"
            assert [200, 401] == [(await each.get("/instances")).status_code for each in (on.http, nobody)]

    run(story())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_nothing(host: str) -> None:
    check_safe(host, tls=False, insecure=False)


def test_names_of_ones_own_are_answered_to_with_and_without_the_port(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path, hosts=("madrox.example.org", "other:8443")) as on:
            port = httpx2.URL(on.server.url).port
            known = ("madrox.example.org", f"madrox.example.org:{port}", "other:8443", f"127.0.0.1:{port}")
            unknown = (
                "other",
                f"other:{port}",
                "example.org",
                "madrox.example.org:1",
                "evil.madrox.example.org",
            )
            seen = {
                host: (await on.get("/health", headers={"Host": host})).status_code
                for host in (*known, *unknown)
            }

            assert {**dict.fromkeys(known, 200), **dict.fromkeys(unknown, 421)} == seen
            assert on.server.url == on.server.public_url

    run(story())


def test_a_certificate_that_cannot_be_shown_is_told_with_the_settings(
    tmp_path: Path, certificate: dict[str, Path]
) -> None:
    cert, key = certificate["tls_cert"], certificate["tls_key"]
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")

    for pair in ((tmp_path / "gone.pem", key), (broken, key), (cert, broken), (cert, None)):
        with pytest.raises(ServerError, match="ORCHESTRATOR_TLS_CERT and ORCHESTRATOR_TLS_KEY"):
            check_certificate(*pair)
    check_certificate(cert, key)


def test_an_encrypted_key_is_refused_instead_of_asking_a_terminal_for_its_passphrase(
    tmp_path: Path, certificate: dict[str, Path]
) -> None:
    from cryptography.hazmat.primitives import serialization as pem

    key = pem.load_pem_private_key(certificate["tls_key"].read_bytes(), None)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(
        key.private_bytes(
            pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"passphrase")
        )
    )

    with pytest.raises(ServerError, match="the key is encrypted"):
        check_certificate(certificate["tls_cert"], locked)


def test_this_machine_reaches_who_listens_everywhere_on_loopback() -> None:
    assert ["127.0.0.1", "::1", "192.0.2.1", "localhost"] == [
        reached_at(host) for host in ("0.0.0.0", "::", "192.0.2.1", "localhost")
    ]


def test_a_taken_port_is_an_error_for_who_insists_on_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            port = httpx2.URL(on.server.url).port or 0
            insisting = Server(on.manager, LOOPBACK, port, PERSONS, strict=True)
            with pytest.raises(ServerError, match=f"can't listen on {LOOPBACK}:{port}: .*in use"):
                await insisting.start()
            assert "" == insisting.url
            assert 200 == (await on.get("/health")).status_code

    run(story())


def test_a_server_that_comes_back_is_found_at_the_same_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with site(tmp_path) as on:
            url = on.server.url
            await on.server.stop()
            assert url == await on.server.start()
            assert 200 == (await on.get("/health")).status_code

    run(story())


def test_strict_takes_the_port_that_is_free() -> None:
    with socket.socket() as once:
        once.bind((LOOPBACK, 0))
        port = once.getsockname()[1]
    listener, notice = listen(LOOPBACK, port, strict=True)
    with listener:
        assert (port, "") == (listener.getsockname()[1], notice)
