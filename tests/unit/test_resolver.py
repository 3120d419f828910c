"""The resolver with look-ups that answer when the test says so: a name that hangs affects no other
name.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from dispatcher.http.resolver import Resolution, Resolver, addresses_of, host_to_resolve
from tests.kit.waiting import eventually


class Names:
    """A name server: what is in `answers` is known, `hanging` names are answered after `release`,
    others do not exist.
    """

    def __init__(self) -> None:
        self.answers: dict[str, tuple[str, ...]] = {}
        self.hanging: set[str] = set()
        self.asked: Counter[str] = Counter()
        self._released = threading.Event()

    def look_up(self, host: str) -> tuple[str, ...]:
        self.asked[host] += 1
        if host in self.hanging:
            self._released.wait()
        try:
            return self.answers[host]
        except KeyError:
            raise OSError(2, "No such name") from None

    def release(self) -> None:
        self._released.set()


@pytest.fixture
def names() -> Iterator[Names]:
    made = Names()
    yield made
    made.release()


def resolver_of(names: Names, limit_s: float = 10) -> Resolver:
    return Resolver(asyncio.get_running_loop(), limit_s, names.look_up)


async def test_who_waits_for_one_name_shares_one_look_up(names: Names) -> None:
    """Sixteen attempts at one callback must not take sixteen threads."""
    names.answers["crm.test"], names.hanging = ("192.0.2.1", "192.0.2.2"), {"crm.test"}
    resolver = resolver_of(names)
    finding = [asyncio.ensure_future(resolver.resolve("crm.test")) for _ in range(16)]
    await eventually("the question", lambda: names.asked["crm.test"])
    names.release()

    assert [found.addresses for found in await asyncio.gather(*finding)] == [
        ("192.0.2.1", "192.0.2.2")
    ] * 16
    assert names.asked == {"crm.test": 1}


async def test_what_was_found_is_known_without_asking_again(names: Names) -> None:
    """It costs a look into a dictionary, on the way of each attempt."""
    names.answers["crm.test"] = ("192.0.2.1",)
    resolver = resolver_of(names)
    assert resolver.cached("crm.test") is None

    found = await resolver.resolve("crm.test")

    assert resolver.cached("crm.test") is found
    assert await resolver.resolve("crm.test") is found
    assert names.asked == {"crm.test": 1}


async def test_a_name_that_moved_is_found_where_it_is_now(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it is looked up again."""
    monkeypatch.setattr("dispatcher.http.resolver.CACHED_S", 0.01)
    names.answers["crm.test"] = ("192.0.2.1",)
    resolver = resolver_of(names)
    await resolver.resolve("crm.test")
    names.answers["crm.test"] = ("192.0.2.2",)
    await eventually("what was found is forgotten", lambda: resolver.cached("crm.test") is None)

    assert (await resolver.resolve("crm.test")).addresses == ("192.0.2.2",)


async def test_a_name_that_does_not_exist_is_not_asked_for_at_each_attempt(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again soon: it may just have been created."""
    monkeypatch.setattr("dispatcher.http.resolver.FAILURE_CACHED_S", 60)
    resolver = resolver_of(names)
    found = [await resolver.resolve("gone.test") for _ in range(3)]
    assert (
        found[0].error == "the name gone.test could not be resolved (No such name). "
        "Check the name, and the name server that Ringback uses"
    )
    assert names.asked == {"gone.test": 1}

    monkeypatch.setattr("dispatcher.http.resolver.FAILURE_CACHED_S", 0.01)
    await resolver.resolve("other.test")
    await eventually("the failure is forgotten", lambda: resolver.cached("other.test") is None)


async def test_no_caller_waits_longer_than_the_limit_and_a_late_answer_counts_for_the_next(
    names: Names,
) -> None:
    """The look-up goes on: asking again would take another thread."""
    names.answers["slow.test"], names.hanging = ("192.0.2.1",), {"slow.test"}
    resolver = resolver_of(names, limit_s=0.01)

    errors = [(await resolver.resolve("slow.test")).error for _ in range(3)]
    names.release()
    await eventually("the answer", lambda: resolver.cached("slow.test"))

    assert (
        errors
        == [
            (
                "the name slow.test was not resolved within 0.01 s. "
                "Check the name, and the name server that Ringback uses"
            )
        ]
        * 3
    )
    assert names.asked == {"slow.test": 1}


async def test_names_that_hang_delay_no_other(names: Names) -> None:
    """libcurl's own resolver had twenty threads, and a look-up outlived its transfer."""
    names.hanging = {f"silent{n}.test" for n in range(60)}
    names.answers["healthy.test"] = ("192.0.2.1",)
    resolver = resolver_of(names)
    hanging = [asyncio.ensure_future(resolver.resolve(name)) for name in names.hanging]
    await eventually("all questions", lambda: len(names.asked) == 60)

    assert (await resolver.resolve("healthy.test")).addresses == ("192.0.2.1",)
    names.release()
    await asyncio.gather(*hanging)


async def test_look_ups_are_bounded_and_what_waits_gets_its_turn(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded everything; who is first in line is asked for first."""
    monkeypatch.setattr("dispatcher.http.resolver.MAX_LOOK_UPS", 2)
    names.hanging = {"one.test", "two.test"}
    resolver = resolver_of(names)
    finding = [
        asyncio.ensure_future(resolver.resolve(f"{name}.test")) for name in ("one", "two", "three")
    ]
    await eventually("two questions", lambda: len(names.asked) == 2)
    names.release()
    await asyncio.gather(*finding)

    assert names.asked == {"one.test": 1, "two.test": 1, "three.test": 1}


async def test_a_process_without_threads_says_so(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked again when it has some: no caller waits for ever."""

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as exhausted:
        exhausted.setattr(threading.Thread, "start", no_thread)
        exhausted.setattr("dispatcher.http.resolver.FAILURE_CACHED_S", 0)
        resolver = resolver_of(names)
        found = await resolver.resolve("crm.test")
    names.answers["crm.test"] = ("192.0.2.1",)
    await eventually("the failure is forgotten", lambda: resolver.cached("crm.test") is None)

    assert found.error == "crm.test cannot be looked up: can't start new thread"
    assert (await resolver.resolve("crm.test")).addresses == ("192.0.2.1",)


def test_a_look_up_that_ends_after_its_loop_does_no_harm(names: Names) -> None:
    """The process ends; threads in the middle of a look-up are not waited for. A failing thread
    would be a warning, so an error here.
    """
    names.hanging = {"silent.test"}

    async def give_up() -> Resolution:
        return await resolver_of(names, limit_s=0.01).resolve("silent.test")

    found = asyncio.run(give_up())
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "look-up silent.test"]
    names.release()
    thread.join(10)

    assert thread.daemon
    assert found.error


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://crm.example/hook?x=1", ("crm.example", 443)),
        ("http://CRM.example:8080/", ("crm.example", 8080)),
        ("http://crm.example./", ("crm.example.", 80)),
        ("http://256.1.1.1/", ("256.1.1.1", 80)),
        ("http://127.0.0.1:9/", None),
        ("http://127.1/", None),
        ("http://0x7f.1./", None),
        ("http://2130706433/", None),
        ("http://[::1]:8080/", None),
        ("https://localhost/", None),
        ("https://crm.localhost./", None),
    ],
)
def test_only_names_are_looked_up(url: str, name: tuple[str, int] | None) -> None:
    """An address needs no look-up, and `localhost` must not depend on one."""
    assert host_to_resolve(url) == name


def test_the_system_knows_this_machine() -> None:
    """The one look-up that needs no network."""
    assert "127.0.0.1" in addresses_of("localhost")


@pytest.mark.parametrize("host", ["no-such-host.invalid", "ü.example", "a..b"])
async def test_a_name_that_cannot_be_found_fails_in_words(host: str) -> None:
    """Whatever the system raises for it."""
    found = await Resolver(asyncio.get_running_loop(), 10).resolve(host)

    assert found.addresses == ()
    assert (found.error or "").startswith(f"the name {host} ")
    assert "Check" in (found.error or "")
