"""Uploads to the Hugging Face hub: with the user's own login, privately, and only to where it may go."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from ldr_utils.study.errors import InputError

Kind = Literal["model", "dataset"]


def check_access(name: str) -> None:
    """Ask the hub who we are, before any work is done.

    Raises
    ------
    InputError
        When the name is none, nobody is logged in, or the hub does not know the token or does not answer.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError

    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name, re.ASCII):
        raise InputError(f"--push {name}: is no name on the hub; write it as OWNER/NAME")
    if not get_token():
        raise InputError("--push: nobody is logged in to the hub; log in (hf auth login), or set HF_TOKEN")
    try:
        HfApi().whoami()
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "no status")
        raise InputError(f"--push: the hub does not take the token ({status}); log in again (hf auth login)") from None
    except Exception as error:  # of whatever carries the request
        raise InputError(f"--push: the hub cannot be reached ({type(error).__name__}); export without it") from None


def upload(folder: Path, name: str, kind: Kind = "model") -> str:
    """Upload a folder as a repository, which is made, private, where there is none.

    Returns
    -------
    str
        Its address.

    Raises
    ------
    InputError
        When the hub refuses it or breaks off: the folder stays as it is.
    """
    from huggingface_hub import HfApi

    try:
        where = HfApi().create_repo(name, repo_type=kind, private=True, exist_ok=True)
        HfApi().upload_folder(folder_path=folder, repo_id=name, repo_type=kind, commit_message="Upload by ldr export")
    except Exception as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise InputError(
            f"--push {name}: {folder} is complete, but was not uploaded ({reason}); hf upload {name} {folder}"
        ) from None
    return str(where)
