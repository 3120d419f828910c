"""The page for administrators, pasted as it is printed, and its tables against what there is."""

import json
import pathlib

from schemas.people import Role
from schemas.tokens.permissions import Permission
from schemas.tokens.tokens import CallbackState, TokenState
from tests.docs.pages import code, read
from tests.docs.shell import Shell, swaps
from tests.kit.ringback import Ringback

ADMINISTRATORS = read("docs/administrators.md")


def test_administrators_can_paste_all_of_their_page_in_its_order(
    embedded: Ringback, tmp_path: pathlib.Path
) -> None:
    """Its commands build on each other, as the work of a day does."""
    env = {name: value for name, value in embedded.env.items() if name.startswith("RINGBACK_")}
    with Shell(tmp_path / "x", swaps(embedded), **env) as shell:

        def paste(section: str) -> list[str]:
            return [shell.run(block) for block in ADMINISTRATORS.in_section(section, "sh")]

        paste("Your own token")
        made, _, looked = paste("A token for a supplier")
        assert json.loads(made)["signing_secret"].startswith("whsec_")
        token = json.loads(looked[looked.index("{") :])
        assert (token["name"], token["state"]) == ("Globex CRM", "active")
        assert json.loads(paste("What it may do")[0])["permissions"] == [
            "conversations:read",
            "stats:read",
        ]
        assert json.loads(paste("What it may see")[0])["visibility"] == {
            "channels": ["chn_sales", "chn_support"]
        }
        assert json.loads(paste("Dates")[0])["expires_at"] is None
        assert [line.split()[:2] for line in paste("People")[0].splitlines()[-2:]] == [
            ["ann@example.com", "admin"],
            ["bob@example.com", "viewer"],
        ]
        put, switched, deleted = paste("Callbacks")
        assert json.loads(put)["header_names"] == ["X-Api-Key"]
        assert '"state":"off"' in switched
        assert switched.endswith('"header_names":["X-Api-Key"]}')
        assert deleted == ""
        assert paste("Suspending and revoking")[0].splitlines() == [
            f"{token['id']} is suspended",
            f"{token['id']} is active",
        ]
        assert json.loads(paste("Replacing a token")[0])["token"].startswith("rbk_")
        shown, rotated = paste("Signing secrets")
        assert json.loads(shown)["signing_secret"] != json.loads(rotated)["signing_secret"]
        logged, _ = paste("The request log")
        assert json.loads(logged) == {
            "data": [],
            "next_cursor": None,
            "looked_until": None,
        }  # no one used that token
        assert [
            change["action"]
            for change in json.loads(paste("Who changed what: the operation log")[0])["data"]
        ][:2] == [
            "signing_secret_rotated",
            "signing_secret_shown",
        ]
        assert "tokens.xlsx: tokens " in paste("Everything to Excel")[0]
        assert all(
            (tmp_path / "x" / name).read_bytes().startswith(b"PK")
            for name in ("requests.xlsx", "tokens.xlsx")
        )


def test_administrators_find_every_permission_and_state_explained() -> None:
    """With the labels that they know."""
    permissions = {
        code(name)[0]: label for name, label, _ in ADMINISTRATORS.table("What it may do")
    }

    assert permissions == {permission.value: permission.label for permission in Permission}
    assert [code(role)[0] for role, _ in ADMINISTRATORS.table("People")] == list(Role)
    assert [code(state)[0] for state, *_ in ADMINISTRATORS.table("States")] == list(TokenState)
    assert [code(state)[0] for state, *_ in ADMINISTRATORS.table("Callbacks")] == list(
        CallbackState
    )
