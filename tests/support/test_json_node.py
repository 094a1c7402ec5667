"""Values of a JSON document, read as what they are to be."""

from __future__ import annotations

import pytest

from dongfeng.errors import DeviceError
from dongfeng.support.strict_json import JsonFormat

FORMAT = JsonFormat(DeviceError, "write it again")


def test_one_member_of_an_object_that_may_have_others() -> None:
    document = FORMAT.parse('{"ms": 1.5, "more": 1}', source="f")
    assert document.member("ms").milliseconds() == 1.5
    with pytest.raises(DeviceError, match=r'f: key "name" is missing; write it again'):
        document.member("name")


@pytest.mark.parametrize("value", ["-1", "1e9", '"1"', "true", "null", "NaN", "Infinity", "1" + "0" * 500])
def test_what_is_no_time_is_refused(value: str) -> None:
    document = FORMAT.parse(f"[{value}]", source="f")
    with pytest.raises(DeviceError, match=r"f:\[0\]: expected a (number|time in milliseconds), got"):
        document.items()[0].milliseconds()
