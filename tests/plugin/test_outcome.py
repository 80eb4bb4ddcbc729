"""What a run's results hold, and what they do not."""


def test_the_run_itself_is_masked(gate, tiny, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DEPLOY_TOKEN", "tok-3n-of-the-ci")
    tiny()
    run = gate("-m", "not timing", "-k", "size or tok-3n-of-the-ci")
    folder = run.reports / "latest"
    for report in folder.iterdir():
        text = report.read_bytes()
        assert b"tok-3n-of-the-ci" not in text, report.name
        assert str(tmp_path).encode() not in text, report.name
    assert "--models=~/models" in run.results["run"]["command"]
