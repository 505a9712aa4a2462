"""Who is calling is known from the token and nothing else."""

import os
import re
import threading

from madrox_nb.redact import Redactor
from madrox_nb.tokens import Tokens, kept


def test_a_token_speaks_for_one_name():
    tokens = Tokens()
    alice, bob = tokens.issue("alice"), tokens.issue("bob")

    assert ("alice", "bob") == (tokens.who(alice), tokens.who(bob))
    assert alice != bob


def test_what_was_never_issued_speaks_for_nobody():
    tokens = Tokens()
    issued = tokens.issue("alice")

    for wrong in ("", "alice", issued[:-1], issued + "x", issued.upper(), "\ud83d"):
        assert tokens.who(wrong) is None


def test_a_revoked_name_has_no_token_any_more():
    tokens = Tokens()
    one, two, other = tokens.issue("alice"), tokens.issue("alice"), tokens.issue("bob")
    tokens.revoke("alice")
    tokens.revoke("alice")

    assert (None, None, "bob") == (tokens.who(one), tokens.who(two), tokens.who(other))


def test_tokens_are_known_by_their_hash_alone():
    tokens = Tokens()
    token = tokens.issue("alice")

    assert token not in repr(vars(tokens))


def test_tokens_are_hard_to_guess_fit_a_header_and_are_redacted():
    token = Tokens().issue("alice")

    assert re.fullmatch(r"mdx_[A-Za-z0-9_-]{43}", token)
    assert "{secret:token}" == Redactor().text(token)


def test_a_kernel_that_comes_back_knows_its_agents_by_the_hashes_that_were_left(tmp_path):
    file = tmp_path / "run" / "tokens.json"
    before = Tokens(file)
    alice, bob, person = before.issue("alice"), before.issue("bob"), "mdx_person"
    before.accept(person, "you")
    before.revoke("bob")
    after = Tokens(file)

    assert after.who(alice) is None
    after.restore()
    assert ("alice", None, None) == (after.who(alice), after.who(bob), after.who(person))
    assert 0o600 == file.stat().st_mode & 0o777
    assert 0o700 == file.parent.stat().st_mode & 0o777
    assert alice not in file.read_text()
    assert [file] == list(file.parent.iterdir())


def test_a_run_that_keeps_nobody_leaves_no_tokens(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokens = Tokens()
    tokens.issue("alice")
    tokens.restore()

    assert [] == list(tmp_path.iterdir())


# the person's own


def test_the_persons_token_stays_the_same_over_kernels_and_is_theirs_alone(tmp_path):
    path = tmp_path / "home" / "token"
    first = kept(path)

    assert first == kept(path)
    assert 0o600 == path.stat().st_mode & 0o777
    assert re.fullmatch(r"mdx_[A-Za-z0-9_-]{43}", first)
    assert [path] == list(path.parent.iterdir())


def test_a_token_that_others_may_read_is_not_trusted_and_replaced(tmp_path):
    path = tmp_path / "token"
    for mode in (0o644, 0o620, 0o601):
        first = kept(path)
        path.chmod(mode)

        assert first != kept(path)
        assert 0o600 == path.stat().st_mode & 0o777


def test_an_empty_file_is_no_token(tmp_path):
    path = tmp_path / "token"
    path.touch(0o600)

    assert kept(path).startswith("mdx_")


def test_a_kernel_that_was_slower_takes_the_faster_ones_token(tmp_path, monkeypatch):
    path, link = tmp_path / "token", os.link

    def slow(source, target):
        monkeypatch.setattr(os, "link", link)
        assert path == target
        kept(path)
        link(source, target)

    monkeypatch.setattr(os, "link", slow)
    mine = kept(path)

    assert path.read_text().strip() == mine
    assert [path] == list(tmp_path.iterdir())


def test_a_token_that_is_just_being_made_is_never_read_as_empty(tmp_path):
    """An empty token would let everybody speak for the person."""
    done, seen = threading.Event(), set()

    def look():
        while not done.is_set():
            for number in range(50):
                path = tmp_path / str(number)
                if path.exists():
                    seen.add(bool(path.read_text().strip()))

    looker = threading.Thread(target=look)
    looker.start()
    for number in range(50):
        kept(tmp_path / str(number))
    done.set()
    looker.join()

    assert False not in seen
