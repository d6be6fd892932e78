"""What the Resend door says where it refuses: ``{statusCode, name, message}``, which every SDK of Resend reads."""

from fastapi import Response

from posthouse.doors.http.parts import answer
from posthouse.doors.problems import resend_of
from posthouse.doors.resend.allowance import rate_fields
from posthouse.refusal import Refused

FAULT = 500, "internal_server_error"


def refusal(refused: Refused, _request_id: str) -> Response:
    """The refusal as plain JSON: resend-python takes no other media type."""
    status, name = resend_of(refused)
    response = _error(status, name, said(refused))
    response.raw_headers.extend(rate_fields(refused.allowance))
    return response


def fault(request_id: str) -> Response:
    """What a caller sees of a fault of ours: nothing but the id under which it was logged."""
    return _error(*FAULT, f"a fault of posthouse; its log has more under {request_id}")


def said(refused: Refused) -> str:
    """What is at fault, and where."""
    place = refused.errors[0].pointer if refused.errors else ""
    return refused.detail if refused.detail.startswith(place) else f"{place}: {refused.detail}"


def _error(status: int, name: str, message: str) -> Response:
    return answer({"statusCode": status, "name": name, "message": message}, status=status)
