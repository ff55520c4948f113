"""The errors of the canary.

FunctionError
├── GatewaySilent      no answer, or none within the bound
├── GatewayRefused     an answer that says no; `status` and `gateway_code` are the gateway's
└── AnswerWrong        an answer that says yes and is not what must be
"""

from __future__ import annotations

from functions.common.errors import FunctionError

__all__ = ["AnswerWrong", "GatewayRefused", "GatewaySilent"]


class GatewaySilent(FunctionError):
    """The gateway did not answer within the bound, or its certificate is not good."""

    code = "gateway_silent"


class GatewayRefused(FunctionError):
    """The gateway answered with an error."""

    code = "gateway_refused"

    def __init__(
        self, message: str, *, status: int = 0, gateway_code: int = 0, detail: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, detail=detail, hint=hint)
        self.status, self.gateway_code = status, gateway_code


class AnswerWrong(FunctionError):
    """The gateway took the request, and its answer is not what must be."""

    code = "answer_wrong"
