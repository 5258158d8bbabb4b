"""Cells and columns as the SQL API writes them.

Source: Snowflake docs, SQL API, "Handling responses": every cell is text, whatever its type. Without a
format in the request, dates are days and times are seconds with nine decimals; with one they are written
by it (BINARY_OUTPUT_FORMAT, DATE_OUTPUT_FORMAT, TIME_OUTPUT_FORMAT, TIMESTAMP_*_OUTPUT_FORMAT). Account and
user formats play no part. Real answers have their types in lower case.
"""

import re

import pyarrow as pa

DAY = 86_400 * 10**9
ELEMENT = re.compile(r'"([^"]*)"|YYYY|MM|DD|HH24|MI|SS|FF(\d?)|TZHTZM|TZH:TZM|TZH|TZM|.', re.S)
FORMATS = {
    "date": "DATE_OUTPUT_FORMAT",
    "time": "TIME_OUTPUT_FORMAT",
    "timestamp_ntz": "TIMESTAMP_NTZ_OUTPUT_FORMAT",
    "timestamp_ltz": "TIMESTAMP_LTZ_OUTPUT_FORMAT",
    "timestamp_tz": "TIMESTAMP_TZ_OUTPUT_FORMAT",
}
PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def civil(days):
    """Year, month and day of a count of days since 1970 in the proleptic Gregorian calendar."""
    shifted = days + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    return year + era * 400 + (month <= 2), month, day


def formatted(nanoseconds, written, offset=0):
    """A moment, as nanoseconds since 1970 on the clock that is shown, in Snowflake's format elements."""
    days, of_day = divmod(nanoseconds, DAY)
    year, month, day = civil(days)
    seconds, fraction = divmod(of_day, 10**9)
    sign, zone = "-" if offset < 0 else "+", abs(offset)

    def element(found):
        text = found.group()
        if text.startswith('"'):
            return found.group(1)
        if text.startswith("FF"):
            return f"{fraction:09d}"[: int(found.group(2) or 9)]
        return {
            "YYYY": f"{year:04d}",
            "MM": f"{month:02d}",
            "DD": f"{day:02d}",
            "HH24": f"{seconds // 3600:02d}",
            "MI": f"{seconds // 60 % 60:02d}",
            "SS": f"{seconds % 60:02d}",
            "TZHTZM": f"{sign}{zone // 60:02d}{zone % 60:02d}",
            "TZH:TZM": f"{sign}{zone // 60:02d}:{zone % 60:02d}",
            "TZH": f"{sign}{zone // 60:02d}",
            "TZM": f"{zone % 60:02d}",
        }.get(text, text)

    return ELEMENT.sub(element, written)


def seconds(nanoseconds):
    sign, size = "-" if nanoseconds < 0 else "", abs(nanoseconds)
    return f"{sign}{size // 10**9}.{size % 10**9:09d}"


def number(value):
    """A binary number as text: the shortest one that names it."""
    text = repr(value)
    if text in ("nan", "inf", "-inf"):
        return {"nan": "NaN"}.get(text, text)
    return text[:-2] if text.endswith(".0") else text


def texts(column, kind, parameters):
    """The cells of an Arrow column."""
    arrow, written = column.type, parameters.get(FORMATS.get(kind, ""))
    if pa.types.is_timestamp(arrow):
        unit = 10**9 // PER_SECOND[arrow.unit]
        moments = [None if at is None else at * unit for at in column.cast(pa.int64()).to_pylist()]
        if written:
            return [None if at is None else formatted(at, written) for at in moments]
        tail = " 1440" if kind == "timestamp_tz" else ""
        return [None if at is None else seconds(at) + tail for at in moments]
    if pa.types.is_time(arrow):
        unit = 10**9 // PER_SECOND[arrow.unit]
        times = [None if at is None else at * unit for at in column.cast(pa.int64()).to_pylist()]
        return [None if at is None else formatted(at, written) if written else seconds(at) for at in times]
    if pa.types.is_date(arrow):
        days = column.cast(pa.int32()).to_pylist()
        return [None if day is None else formatted(day * DAY, written) if written else str(day) for day in days]
    if pa.types.is_boolean(arrow):
        return [None if value is None else "true" if value else "false" for value in column.to_pylist()]
    if pa.types.is_floating(arrow):
        return [None if value is None else number(value) for value in column.to_pylist()]
    if pa.types.is_decimal(arrow):
        return [None if value is None else format(value, "f") for value in column.to_pylist()]
    if pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow):
        return [None if value is None else value.hex().upper() for value in column.to_pylist()]
    return [None if value is None else str(value) for value in column.to_pylist()]


def rows(table, described, parameters):
    """The rows of a table as lists of cells."""
    columns = [texts(column.combine_chunks(), one["type"], parameters) for column, one in zip(table.columns, described)]
    return [list(row) for row in zip(*columns)]
