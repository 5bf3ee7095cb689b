"""What a header must agree with, which contributions are whole, and whose signature counts."""

from __future__ import annotations

import pytest

from bench.accounts import NumberedAccount
from consensus.aggregation.compression import Int8, encoded_size
from consensus.quorum.parts import Span
from economics.cohort import update_freshness
from node.cohort.contribution import Opening, Rules, complete, identity, names_of, source_of, weight_of
from node.cohort.errors import InvalidError
from node.cohort.faults import Faults
from node.cohort.log import EACH_MAX, Log
from node.cohort.sealing import BODY_BYTES, Sealed, Seals
from node.net.wire.cohort_pb2 import Ballot, Body, Contribution, Signed
from node.net.wire.common_pb2 import Versions
from tests.cohort.hub import CONFIG, NETWORK, REGISTRY, STEPS, WHOLE, quorum

LEFT, RIGHT = Span(0, 2), Span(2, 4)
OPENINGS = {4: Opening(b"4" * 32, 1000), 5: Opening(b"5" * 32, 1100)}
RULES = Rules(CONFIG, Versions(network=NETWORK), OPENINGS.get)


def seals(number: int) -> Seals:
    return Seals(NumberedAccount(number), NETWORK, 31337, REGISTRY)


def header(number: int = 1, span: Span = WHOLE, **changes: object) -> Contribution:
    fields = {
        "version": 1,
        "versions": Versions(network=NETWORK),
        "round": 5,
        "base": 4,
        "start_root": b"4" * 32,
        "account": NumberedAccount(number).account,
        "first_part": span.start,
        "part_count": len(span),
        "batches": STEPS,
        "age": 100,
        "codec": 1,
        "size": encoded_size(Int8(), names_of(CONFIG, span)),
        "root": b"r" * 32,
        "update_root": b"u" * 32,
    }
    return Contribution(**(fields | changes))  # type: ignore[arg-type]


def seat(number: int, span: Span) -> Contribution:
    """A part by a member of the quorum of accounts 1 and 2."""
    plan = quorum((1, LEFT), (2, RIGHT))
    message = header(number, span)
    message.versions.quorum = plan.id
    message.quorum.CopyFrom(plan.record())
    return message


def checked(message: Contribution, number: int = 1) -> None:
    RULES.check(seals(number).seal(Body(round=message.round, contribution=message)).body)


def test_a_header_by_the_rules_is_taken() -> None:
    checked(header())
    checked(seat(1, LEFT))
    checked(seat(2, RIGHT), 2)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("malformed", {"version": 2}),
        ("malformed", {"versions": Versions(network=b"n" * 32)}),
        ("malformed", {"versions": Versions(network=NETWORK, vocab_version=1)}),
        ("malformed", {"account": b"a" * 20}),
        ("malformed", {"root": b""}),
        ("malformed", {"part_count": 0}),
        ("malformed", {"part_count": 5}),
        ("malformed", {"batches": 0}),
        ("malformed", {"batches": 1001}),
        ("base", {"base": 3}),
        ("base", {"round": 4, "base": 5}),
        ("root", {"start_root": b"5" * 32}),
        ("age", {"age": 0}),
        ("codec", {"codec": 9}),
        ("codec", {"size": 1}),
    ],
)
def test_a_header_against_the_rules_is_refused(code: str, changes: dict[str, object]) -> None:
    with pytest.raises(InvalidError) as caught:
        checked(header(**changes))
    assert caught.value.code == code


def test_a_seat_that_the_quorum_does_not_give_is_refused() -> None:
    stranger, elsewhere, forged = seat(3, LEFT), seat(1, RIGHT), seat(1, LEFT)
    forged.quorum.seconds += 1
    for message, number in ((stranger, 3), (elsewhere, 1), (forged, 1)):
        with pytest.raises(InvalidError) as caught:
            checked(message, number)
        assert caught.value.code == "stranger"


def test_only_whole_contributions_count() -> None:
    left, right, alone = seat(1, LEFT), seat(2, RIGHT), header(3)
    assert complete([right, alone, left], 4) == sorted([[left, right], [alone]], key=lambda g: source_of(g[0]))
    assert complete([right, alone], 4) == [[alone]]
    uneven = seat(2, RIGHT)
    uneven.batches = 7
    assert complete([left, uneven], 4) == []
    assert complete([left, right, seat(1, LEFT)], 4) == []


def test_the_newest_base_comes_first() -> None:
    old, new = header(1, base=4), header(1, base=5)
    assert complete([old, new], 4) == [[new], [old]]


def test_weight_is_the_root_of_the_batches_times_freshness() -> None:
    assert weight_of(header(batches=100, age=0)) == 100_000
    assert weight_of(header(batches=100, age=60)) == 90_000
    assert [update_freshness(age) for age in (0, 59, 60, 3599, 3600, 86_400)] == [
        10_000,
        10_000,
        9000,
        9000,
        7000,
        3000,
    ]
    with pytest.raises(ValueError, match="negative"):
        update_freshness(-1)


def test_a_signature_is_good_for_one_body_account_and_deployment() -> None:
    sealed = seals(1).seal(Body(round=5, contribution=header()))
    assert seals(2).open(sealed.signed).body == sealed.body
    assert identity(sealed.body.contribution) == identity(seals(2).open(sealed.signed).body.contribution)
    other = Body.FromString(sealed.signed.body)
    other.round = 6
    stolen = Body.FromString(sealed.signed.body)
    stolen.account = NumberedAccount(2).account
    for body in (other, stolen):
        forged = Signed(body=body.SerializeToString(deterministic=True), signature=sealed.signed.signature)
        with pytest.raises(InvalidError) as caught:
            seals(1).open(forged)
        assert caught.value.code == "signature"
    elsewhere = Seals(NumberedAccount(1), NETWORK, 1, REGISTRY)
    with pytest.raises(InvalidError):
        elsewhere.open(sealed.signed)


@pytest.mark.parametrize("data", [b"", b"\xff\xff", b"\x08\x01" * 2, bytes(BODY_BYTES + 1)])
def test_bytes_that_are_no_message_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        seals(1).open(Signed(body=data, signature=bytes(65)))
    assert caught.value.code == "malformed"


def test_the_log_is_bounded() -> None:
    log = Log()
    log.opened(5)
    ballots = [Body(round=5, account=b"a" * 20, ballot=Ballot(view=view)) for view in range(EACH_MAX["ballot"] + 1)]
    taken = [log.add(Sealed(body, bytes([at]) * 32, Signed())) for at, body in enumerate(ballots)]
    assert taken == [True] * EACH_MAX["ballot"] + [False]
    assert not log.add(Sealed(Body(round=5, ballot=Ballot()), bytes(32), Signed()))
    for number, kept in ((1, False), (2, True), (6, True), (7, False)):
        body = Body(round=number, account=b"b" * 20, ballot=Ballot())
        assert log.add(Sealed(body, bytes([number]) * 31 + b"x", Signed())) is kept
    log.opened(7)
    assert log.of(2) == []


def test_forgers_are_banned_at_the_networks_limit() -> None:
    banned: list[bytes] = []
    faults = Faults(lambda account, reason: banned.append(account), lambda: 1000)
    for _ in range(3):
        faults.note(InvalidError(b"f" * 20, "update", "It decodes to another update."))
    assert banned == [b"f" * 20]
