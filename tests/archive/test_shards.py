"""The division into shards: stable, whole, and named by content."""

from __future__ import annotations

import random

from fetal_jax.archive.shards import MOST, Shard, key_of, name, plan

FILES = [f"study{i // 50:04d}/{i:06d}.dcm" for i in range(20_000)]


def test_every_file_is_in_one_shard_in_order_and_an_archive_is_one():
    files = [*FILES[:1000], "a.tar", "b.zip", *FILES[1000:2000]]
    shards = plan(files)
    assert [file for shard in shards for file in shard.files if file in ("a.tar", "b.zip")] == ["a.tar", "b.zip"]
    assert Shard(("a.tar",)) in shards
    assert Shard(("b.zip",)) in shards
    found = [file for shard in shards for file in shard.files]
    assert sorted(found) == sorted(files)
    assert max(len(shard.files) for shard in shards) <= MOST
    assert len(plan(FILES)) < 4 * len(FILES) / MOST


def test_an_added_or_removed_file_changes_few_shards():
    before = {shard.key for shard in plan(FILES)}
    rng = random.Random(0)
    for _ in range(20):
        at = rng.randrange(len(FILES))
        added = {shard.key for shard in plan([*FILES[:at], "new.dcm", *FILES[at:]])}
        removed = {shard.key for shard in plan([*FILES[:at], *FILES[at + 1 :]])}
        assert len(added - before) <= 4
        assert len(removed - before) <= 4


def test_the_name_follows_names_and_content_alone():
    shard = Shard(("a", "b"))
    first = name(shard, [("a", "1"), ("b", "2")])
    assert key_of(first) == shard.key
    assert first == name(Shard(("a", "b"), known=("x",)), [("a", "1"), ("b", "2")])
    others = {
        name(shard, [("a", "1"), ("b", "3")]),
        name(shard, [("a", "12"), ("b", "")]),
        name(shard, [("a", "1"), ("b", None)]),
        name(Shard(("a", "c")), [("a", "1"), ("b", "2")]),
    }
    assert len(others | {first}) == 5
    assert key_of("part-0.parquet") is None


def test_names_from_another_folder_are_the_same_shards(tmp_path, monkeypatch):
    def named(files: list[str]) -> list[tuple[str, str]]:
        return [(shard.key, name(shard, [(file, "1") for file in shard.files])) for shard in plan(files)]

    (tmp_path / "in").mkdir()
    absolute = named([f"{tmp_path}/in/{file}" for file in FILES[:2000]])
    assert len(absolute) > 5
    monkeypatch.chdir(tmp_path)
    assert named([f"in/{file}" for file in FILES[:2000]]) == absolute
    monkeypatch.chdir(tmp_path / "in")
    assert named([f"../in/{file}" for file in FILES[:2000]]) == absolute
    bucket = Shard(("gs://b//x/../a.dcm",)).key
    assert bucket != Shard(("gs://b/a.dcm",)).key
    monkeypatch.chdir(tmp_path)
    assert bucket == Shard(("gs://b//x/../a.dcm",)).key


def test_a_shard_survives_its_line():
    shard = Shard(("a b\n", "ü\udcff"), ("x.parquet",))
    assert Shard.of_line(shard.as_line()) == shard
    assert "\n" not in shard.as_line()
