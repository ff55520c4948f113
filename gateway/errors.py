"""What a request can be refused with, before a dialect gives it its shape.

A handler raises ApiError; the gateway answers `{"code", "msg"}` under /api/v3 and its relatives, and
`{"error": {"code", "message", "detail", "hint", "request_id"}}` under /api/v1.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One reason for a refusal, as both dialects tell it.

    status   of HTTP
    binance  code of the Binance dialect, below zero
    name     code of /api/v1, lower_snake_case
    text     the Binance dialect's exact text where clients match on it; else what must hold
    """

    status: int
    binance: int
    name: str
    text: str


class ApiError(Exception):
    """A request that is refused, and changes nothing.

    problem      which one
    text         instead of the problem's own: what must hold, what was found
    detail       where; only /api/v1 tells it
    hint         what to do; only /api/v1 tells it
    retry_after  seconds, for the header Retry-After
    more         further members of the answer (the Binance dialect's cancelReplace has them)
    """

    def __init__(
        self,
        problem: Problem,
        text: str = "",
        *,
        detail: str = "",
        hint: str = "",
        retry_after: int | None = None,
        more: dict[str, object] | None = None,
    ) -> None:
        super().__init__(text or problem.text)
        self.problem = problem
        self.text = text or problem.text
        self.detail, self.hint, self.retry_after, self.more = detail, hint, retry_after, more


def _problem(status: int, binance: int, name: str, text: str) -> Problem:
    return Problem(status=status, binance=binance, name=name, text=text)


# Of the gateway itself
INTERNAL = _problem(500, -1000, "internal", "An unknown error occurred while processing the request.")
ENGINE_AWAY = _problem(503, -1001, "engine_away", "Internal error; unable to process your request. Please try again.")
HISTORY_AWAY = _problem(503, -1001, "history_away", "History must be readable, and the database is away.")
STATE_UNWRITABLE = _problem(503, -1001, "state_unwritable", "What a restart must know could not be kept.")
KAFKA_AWAY = _problem(503, -1001, "kafka_away", "Topics must be readable, and Kafka is away.")
NO_KAFKA = _problem(404, -1000, "no_kafka", "This gateway has no Kafka: set IRONBOOK_GATEWAY_KAFKA.")
UNAUTHORIZED = _problem(401, -1002, "unauthorized", "You are not authorized to execute this request.")
TOO_MANY_REQUESTS = _problem(429, -1003, "too_many_requests", "Too many requests; please wait before you go on.")
BANNED = _problem(418, -1003, "banned", "Way too many requests; this address is refused for now.")
OUTCOME_UNKNOWN = _problem(
    504,
    -1007,
    "outcome_unknown",
    "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
)
TOO_MANY_ORDERS = _problem(429, -1015, "too_many_orders", "Too many new orders.")
STOPPING = _problem(503, -1016, "stopping", "This service is no longer available.")
TIMESTAMP = _problem(400, -1021, "timestamp", "Timestamp for this request is outside of the recvWindow.")
TIMESTAMP_AHEAD = _problem(400, -1021, "timestamp", "Timestamp for this request was 1000ms ahead of the server's time.")
REPEATED = _problem(400, -1021, "repeated", "This request was received before; sign each request anew.")
SIGNATURE = _problem(400, -1022, "signature", "Signature for this request is not valid.")
RESERVED = _problem(501, -1000, "reserved", "A path must be of this release; this one is kept for a later one.")
NOT_FOUND = _problem(404, -1000, "not_found", "There is nothing at this path.")
METHOD_NOT_ALLOWED = _problem(405, -1000, "method_not_allowed", "This path does not take this method.")
BODY_TOO_LARGE = _problem(413, -1000, "body_too_large", "A request's body must be smaller.")
MEDIA_TYPE = _problem(415, -1000, "media_type", "A body must have the media type that the operation names.")
# Of bytes that are no request, or come too slowly
MALFORMED = _problem(400, -1000, "malformed", "A request must be HTTP/1.1 as RFC 9112 says.")
TOO_LATE = _problem(408, -1000, "too_late", "A request must come in time.")
EXPECTATION = _problem(417, -1000, "expectation", "Only 100-continue may be expected.")
UPGRADE_NEEDED = _problem(426, -1000, "upgrade_needed", "This path is for WebSockets.")
TARGET_TOO_LONG = _problem(414, -1000, "target_too_long", "A request's target must be shorter.")
HEADERS_TOO_LARGE = _problem(431, -1000, "headers_too_large", "Request line and headers must be smaller.")
CODING = _problem(501, -1000, "coding", "A body may be chunked and not coded otherwise.")
VERSION = _problem(505, -1000, "version", "The version must be HTTP/1.1 or HTTP/1.0.")
TOO_MANY_CONNECTIONS = _problem(503, -1000, "too_many_connections", "There are too many connections.")
# Of parameters
ILLEGAL = _problem(400, -1100, "illegal_parameter", "Illegal characters found in a parameter.")
TOO_MANY_PARAMETERS = _problem(400, -1101, "too_many_parameters", "Too many parameters sent for this endpoint.")
MANDATORY = _problem(400, -1102, "parameter_missing", "Mandatory parameter was not sent, was empty/null, or malformed.")
UNREAD = _problem(400, -1104, "parameter_unknown", "Not all sent parameters were read.")
EMPTY = _problem(400, -1105, "parameter_empty", "Parameter was empty.")
NOT_REQUIRED = _problem(400, -1106, "parameter_not_required", "Parameter sent when not required.")
PRECISION = _problem(400, -1111, "precision", "Parameter has too much precision.")
TIME_IN_FORCE = _problem(400, -1115, "time_in_force", "Invalid timeInForce.")
ORDER_TYPE = _problem(400, -1116, "order_type", "Invalid orderType.")
SIDE = _problem(400, -1117, "side", "Invalid side.")
INTERVAL = _problem(400, -1120, "interval", "Invalid interval.")
SYMBOL = _problem(400, -1121, "symbol", "Invalid symbol.")
LISTEN_KEY = _problem(400, -1125, "listen_key", "This listenKey does not exist.")
COMBINATION = _problem(400, -1128, "combination", "Combination of optional parameters invalid.")
PARAMETER = _problem(400, -1130, "parameter", "Data sent for a parameter is not valid.")
RECV_WINDOW = _problem(400, -1131, "recv_window", "recvWindow must be at most 60000.")
# Of keys
KEY_FORMAT = _problem(401, -2014, "key_format", "API-key format invalid.")
KEY_REFUSED = _problem(401, -2015, "key_refused", "Invalid API-key, IP, or permissions for action.")
KEY_UNKNOWN = _problem(404, -2015, "key_unknown", "The key must be a live one.")
KEY_EXISTS = _problem(409, -1130, "key_exists", "A key's id must be a new one.")
KEY_INVALID = _problem(400, -1130, "key_invalid", "A key's fields must be within their bounds.")
KEY_IN_USE = _problem(409, -1130, "key_in_use", "A key that the gateway itself uses must be changed elsewhere.")
ROTATION_REFUSED = _problem(409, -1130, "rotation_refused", "The steps of a rotation must come in their order.")
KEYS_ELSEWHERE = _problem(403, -1002, "keys_elsewhere", "Keys must be changed elsewhere: this gateway may not.")
KEY_FILE_AWAY = _problem(503, -1001, "key_file_away", "The key file must be readable and writable, and is not.")
MEASURES_HIDDEN = _problem(403, -1002, "measures_hidden", "Measures are for the operator's networks and for logins.")
NO_ADMIN_KEY = _problem(403, -1002, "no_admin_key", "Administration needs a gateway that has an administrator's key.")
# Of orders
MARKET_CLOSED = _problem(400, -1013, "market_closed", "Market is closed.")
FILTER = _problem(400, -1013, "filter", "Filter failure.")
NO_DEPTH = _problem(400, -1112, "no_depth", "No orders on book for symbol.")
ORDER_REJECTED = _problem(400, -2010, "order_rejected", "Order was rejected.")
INSUFFICIENT = _problem(400, -2010, "insufficient_funds", "Account has insufficient balance for requested action.")
ACCOUNT_HALTED = _problem(400, -2010, "account_halted", "This account may not place or cancel orders.")
TRIGGER_MET = _problem(400, -2010, "trigger_already_met", "Stop price would trigger immediately.")
UNFILLABLE = _problem(400, -2010, "unfillable", "Order would not be filled at once as far as it demands.")
WOULD_TAKE = _problem(400, -2010, "post_only_would_take", "Order would immediately match and take.")
DUPLICATE = _problem(400, -2010, "duplicate_client_order_id", "Duplicate order sent.")
CANCEL_REJECTED = _problem(400, -2011, "unknown_order", "Unknown order sent.")
NO_SUCH_ORDER = _problem(400, -2013, "no_such_order", "Order does not exist.")
CANCEL_REPLACE_PART = _problem(409, -2021, "cancel_replace_part", "Order cancel-replace partially failed.")
CANCEL_REPLACE_FAILED = _problem(400, -2022, "cancel_replace_failed", "Order cancel-replace failed.")
AMEND_REJECTED = _problem(400, -2038, "amend_rejected", "Order amend is rejected.")
