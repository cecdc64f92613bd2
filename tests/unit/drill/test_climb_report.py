"""The report of a climb must show what was recorded, need nothing else, and stay well-formed."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import orjson
from climbs_recorded import climbed
from histories import operation

from millions.drill.climbs.document import document
from millions.drill.climbs.page import page
from millions.drill.climbs.picture import picture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_page_shows_rungs_steps_costs_promises_and_engines() -> None:
    text = page(climbed())
    for said in (
        *("Rung by rung", "What each tier takes", "Step by step", "3 balanced", "400 ms"),
        *("1.20\u00d7", "postgresql", "18.6", "G2", "no request failed"),
    ):
        assert said in text


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = page(climbed()).replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"<script|<link|<img|https?://|@import|url\(", text)


def test_words_of_others_do_not_become_markup() -> None:
    text = page(climbed())
    assert "<because>" not in text
    assert "&lt;because&gt;" in text


def test_a_failed_request_is_on_the_page_and_in_the_picture() -> None:
    failed = operation("view", None, 15.0, 15.1, outcome="failed", status=502, repeatable=True)
    found = climbed(failed)
    assert "a promise is broken" in page(found)
    assert "1 failed" in picture(found)


def test_the_picture_is_whole_xml_with_a_band_and_a_bar_for_each_step() -> None:
    root = ET.fromstring(picture(climbed()))
    styles = [each.get("class") for each in root.iter() if each.get("class")]
    assert styles.count("band") == styles.count("pause") == 2
    assert styles.count("stair") == 1


def test_the_stairs_go_up_where_the_step_ended() -> None:
    root = ET.fromstring(picture(climbed()))
    (stair,) = (each for each in root.iter(f"{SVG}path") if each.get("class") == "stair")
    points = [tuple(map(float, each.split(","))) for each in (stair.get("d") or "M")[1:].split()]
    bands = [each for each in root.iter(f"{SVG}rect") if each.get("class") == "band"]
    ends = [float(each.get("x") or 0) + float(each.get("width") or 0) for each in bands]
    rises = [x for (x, y), (_, after) in itertools.pairwise(points) if after < y]
    assert [abs(a - b) < 0.2 for a, b in zip(rises, ends, strict=True)] == [True, True]


def test_the_scale_of_latencies_is_in_milliseconds_and_seconds() -> None:
    said = [each.text for each in ET.fromstring(picture(climbed())).iter(f"{SVG}text")]
    assert {"1 ms", "10 ms", "100 ms", "1 s"} <= set(said)
    assert "10 s" not in said


def test_a_climb_that_is_too_short_to_draw_says_so() -> None:
    assert "Too short to draw" in picture(climbed(load_from=40.0, load_until=41.0))


def test_the_document_is_json_and_says_the_same() -> None:
    found = orjson.loads(orjson.dumps(document(climbed())))
    assert found["well"] is True
    assert [each["name"] for each in found["steps"]] == ["database", "balancer"]
    assert found["rungs"][0]["cpu_a_request_s"] > 0
    assert found["verdict"]["promises"]["G1"]["held"] is True
