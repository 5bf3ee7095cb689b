"""`ponw serve --paid` and `ponw infer` as they are: the model, the chain, real processes, and a kill -9."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from economics.constants import CREDIT_TOKENS
from economics.units import neuro
from node.chain.escrow import RequestState
from tests.payment.conftest import PATIENCE_SECONDS, ROOT, Market, command, environment, home_of
from tests.payment.driver import driving

pytestmark = pytest.mark.process


class Serve:
    """`ponw serve --paid` of one home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.start()

    def start(self) -> None:
        words = ("serve", "--paid", "--port", "0", "--slots", "4")
        with (self._home / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                command(self._home, *words), stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT, env=environment()
            )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("paid:"):
                self.uri = line.split()[1].removesuffix("/ponw/v1,")
                return
        pytest.fail((self._home / "serve.log").read_text()[-3000:])

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)


def ponw(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command as a process of its own."""
    pipes = {"capture_output": True, "text": True}
    return subprocess.run(command(home, *words), cwd=ROOT, env=environment(), check=False, **pipes)


def test_serve_answers_for_money_and_survives_kill_9(market: Market, tmp_path: Path, home: Path) -> None:
    place, address = home_of(market, tmp_path / "serving")
    serve = Serve(place)
    try:
        words = ("--server", serve.uri, "--max-tokens", "20", "--temperature", "1", "--max-fee", "0.05", "--verify")
        answer = ponw(home, "infer", "It was the best of times", *words, "--yes")
        assert answer.returncode == 0, answer.stderr
        assert "tokens are the model's" in answer.stderr
        assert "back in the deposit" in answer.stderr
        earned = market.escrow(0).credit_of(address)
        assert earned > 0

        record = market.asked(serve.uri, tokens=40)
        market.payer().open(record)
        with driving(market, serve.uri, record) as driver:
            driver.take(CREDIT_TOKENS)
            driver.pay(8)
            driver.take(8 + CREDIT_TOKENS)
            serve.process.kill()
        assert serve.process.wait() == -signal.SIGKILL
        assert market.state(record) is RequestState.OPEN
        serve.start()
        market.await_over(record)
        view = market.escrow(0).request_of(record.id)
        assert (view.state, view.tokens) == (RequestState.SETTLED, 8)
        assert market.escrow(0).credit_of(address) - earned in range(
            8 * record.quote.price * 95 // 100 - 4, 8 * record.quote.price * 95 // 100 + 1
        )
        assert serve.stop() == 0
    finally:
        serve.process.kill()
    collected = ponw(place, "escrow", "collect", "--yes")
    assert "Collected 0.00" in collected.stdout, collected.stderr
    assert market.escrow(0).credit_of(address) == 0
    assert market.contracts(0).token.balance_of(address) > neuro(2_000)
