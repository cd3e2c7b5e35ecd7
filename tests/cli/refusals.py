"""What every command does with wrong input."""


def refused(outcome, *words):
    """Assert that an outcome is exit code 2 and one line that holds these words."""
    code, _, err = outcome
    assert code == 2
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1
    for word in words:
        assert word in lines[0]
