import pytest

from units import parse_size


def test_decimal_and_binary_units_differ():
    assert parse_size("1k") == 1000
    assert parse_size("1Ki") == 1024


def test_fractions_are_taken():
    assert parse_size("1.5Gi") == 1.5 * 1024**3


def test_the_byte_sign_is_optional():
    assert parse_size("10 MB") == parse_size("10M")


@pytest.mark.parametrize("text", ["", "k", "10 X", "1.2.3k"])
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)
