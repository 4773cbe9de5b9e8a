"""Names of bundles, addresses, and signatures that travel with a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from fakes.generations import challenger, change, generation
from fakes.signing_keys import write_pair

from bundle.registry import changes
from bundle.registry.errors import AddressUnusable, AliasNowhere, BundleNotFound, FleetUnknown
from bundle.registry.generation import Challenger, Ref
from bundle.registry.opening import open_registry
from bundle.registry.registry import Registry
from bundle.sign import SigningKey, sign_bundle
from bundle.signing.envelope import SIGNATURE_FILE, SignatureRefused
from bundle.signing.policy import SignaturePolicy


@pytest.fixture
def pair(make_tiny_bundle: Callable[..., Path], registry: Registry) -> tuple[Ref, Ref]:
    """Two bundles in the registry; the first is the champion of the fleet `scenes`, the second a shadow."""
    first = registry.push(make_tiny_bundle(stages=1, name="first"), "tests")
    second = registry.push(make_tiny_bundle(stages=1, name="second"), "tests")
    fleet = registry.fleet("scenes")
    fleet.append(generation(1, None))
    fleet.change(lambda now: changes.promoted(now, first, change()))
    fleet.change(lambda now: changes.with_challenger(now, Challenger("new", second, None), change()))  # type: ignore[arg-type]
    return first, second


def test_a_bundle_has_many_names(registry: Registry, pair: tuple[Ref, Ref]) -> None:
    first, second = pair
    version = first.label.rpartition(":")[2]
    for text in (first.label, first.label[:-4], version, version[:8], first.digest, first.digest[:8]):
        assert registry.resolve(text) == first
    for text in ("champion", "scenes/champion"):
        assert registry.resolve(text) == first
    assert registry.resolve("champion", "scenes") == first
    assert registry.resolve("challenger-new") == second


@pytest.mark.parametrize(
    "text", ["", "first", "first:", "third:0123", "0123456", "zz", "..", "../x", "ä", "x" * 5000, "a\n", ":"]
)
def test_a_bundle_that_is_not_there_is_told_with_what_is(
    registry: Registry, pair: tuple[Ref, Ref], text: str
) -> None:
    with pytest.raises((BundleNotFound, FleetUnknown)) as told:
        registry.resolve(text)
    assert len(str(told.value)) < 1000


def test_near_names_are_proposed(registry: Registry, pair: tuple[Ref, Ref]) -> None:
    with pytest.raises(BundleNotFound, match=f"near to it: {pair[0].label}"):
        registry.resolve(pair[0].label.replace("first", "frist"))


def test_an_empty_registry_says_how_to_fill_it(registry: Registry) -> None:
    registry.fleet("scenes").append(generation(1, None))
    with pytest.raises(BundleNotFound, match="it holds none; put one into it"):
        registry.resolve("first:0123")
    with pytest.raises(AliasNowhere, match="has no alias 'champion' yet"):
        registry.resolve("champion")


def test_an_alias_that_no_record_has_is_told_with_those_there_are(
    registry: Registry, pair: tuple[Ref, Ref]
) -> None:
    with pytest.raises(AliasNowhere, match=r"no alias 'previous'; its aliases: champion, challenger-new"):
        registry.resolve("previous")


def test_an_alias_of_a_bundle_that_is_gone_says_so(registry: Registry, pair: tuple[Ref, Ref]) -> None:
    shutil.rmtree(Path(registry.address) / "bundles" / pair[0].digest)
    with pytest.raises(
        AliasNowhere, match=rf"champion of fleet scenes is {pair[0].label} .*push that bundle"
    ):
        registry.resolve("champion")


def test_with_several_fleets_an_alias_needs_its_fleet(registry: Registry, pair: tuple[Ref, Ref]) -> None:
    registry.fleet("other").append(generation(1, challengers=(challenger("b"),)))
    with pytest.raises(FleetUnknown, match=r"has the fleets other, scenes; name one of them"):
        registry.resolve("champion")
    assert registry.resolve("champion", "scenes") == pair[0]


@pytest.mark.parametrize(
    "address", ["", " ", "ftp://host/x", "http://host", "file://", "file://host/x", "a\x00b"]
)
def test_an_address_that_is_none_says_what_is(address: str) -> None:
    with pytest.raises(AddressUnusable, match=r"it is a folder, file:///FOLDER, or s3://BUCKET/PREFIX"):
        open_registry(address)


def test_an_address_of_a_file_is_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a registry"
    assert open_registry(f"file://{tmp_path}/a%20registry").address == str(folder)
    assert open_registry(str(folder)).address == str(folder)


def test_signatures_gather_in_the_registry_and_the_trusted_one_comes_back(
    make_tiny_bundle: Callable[..., Path], registry: Registry, tmp_path: Path
) -> None:
    ours, theirs = (write_pair(tmp_path / "keys", name) for name in ("ours", "theirs"))
    bundle = make_tiny_bundle(stages=1)
    digest = registry.push(bundle, "tests").digest
    assert not (registry.pull(digest, tmp_path / "unsigned") / SIGNATURE_FILE).exists()
    trust = SignaturePolicy("require", (ours.public,))
    with pytest.raises(SignatureRefused, match="is not signed"):
        registry.pull(digest, tmp_path / "trusting", trust)
    for key in (ours, theirs):
        sign_bundle(bundle, SigningKey(key.private))
        assert registry.push(bundle, "tests").digest == digest
    for key in (ours, theirs):
        trust = SignaturePolicy("require", (key.public,))
        pulled = registry.pull(digest, tmp_path / "trusting", trust)
        assert (pulled / SIGNATURE_FILE).is_file()
    nobodys = SignaturePolicy("require", (write_pair(tmp_path / "keys", "nobodys").public,))
    with pytest.raises(SignatureRefused):
        registry.pull(digest, tmp_path / "nobodys", nobodys)
    assert list((tmp_path / "nobodys").iterdir()) == []
