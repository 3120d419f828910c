"""`ringback doctor` on how people sign in."""

from pathlib import Path
from typing import Any

from tests.kit.command import Place
from tests.kit.oidc import CLIENT_ID, CLIENT_SECRET, Provider


def checked(place: Place) -> dict[str, Any]:
    """What the doctor says of signing in."""
    done = place.call("doctor", "--json")
    assert CLIENT_SECRET not in done.out + done.err
    (check,) = (check for check in done.json["checks"] if check["what"] == "sign-in")
    found: dict[str, Any] = check
    return found


def test_the_doctor_asks_the_provider(tmp_path: Path) -> None:
    """And says which address the provider must know: most forget it."""
    with Provider() as provider:
        place = Place(
            tmp_path,
            OIDC_ISSUER=provider.issuer,
            OIDC_CLIENT_ID=CLIENT_ID,
            OIDC_CLIENT_SECRET=CLIENT_SECRET,
            PUBLIC_URL="https://hooks.example",
        )
        check = checked(place)
        assert check["ok"]
        assert "https://hooks.example/sign-in/openid/return" in check["detail"]

        place.set(OIDC_ISSUER=provider.issuer + "/")
        check = checked(place)
        assert not check["ok"]
        assert f"the provider calls itself '{provider.issuer}'" in check["detail"]

    check = checked(place)
    assert not check["ok"]
    assert "does not answer" in check["detail"]


def test_without_a_provider_there_is_nothing_to_ask(tmp_path: Path) -> None:
    """People sign in by password."""
    assert checked(Place(tmp_path)) == {"what": "sign-in", "ok": True, "detail": "by password"}
