"""moto's server with what it lacks for Terraform (gaps.py): python -m tests.terraform.server DESCRIPTOR."""

from __future__ import annotations

import sys
from typing import Any

from tests.support.aws import main
from tests.terraform.gaps import Gaps


def _mend() -> None:
    """What is wrong inside moto, rather than missing."""
    from moto.elbv2.models import ELBv2Backend
    from moto.rds.models import DBParameterGroup

    # A listener's certificate is one of ACM that somebody ordered by hand.
    ELBv2Backend._certificate_exists = lambda self, certificate_arn: True  # type: ignore[method-assign]

    plain = DBParameterGroup.update_parameters

    def update(self: Any, new_parameters: Any) -> None:
        plain(self, [{**parameter, "Source": "user"} for parameter in new_parameters])

    DBParameterGroup.update_parameters = update  # type: ignore[method-assign]


if __name__ == "__main__":
    _mend()
    main(int(sys.argv[1]), Gaps)
