"""An SMT solver for halmos that reads bit vectors as integers: `python cvc5_solver.py FILE.smt2`.

Quotients of 256-bit words are beyond bit-blasting solvers; as integer arithmetic they take a fraction of a second
(Niemetz et al., "Towards bit-width-independent proofs in SMT solvers", 2019; option solve-bv-as-int of cvc5).
"""

import sys

import cvc5


def main() -> int:
    """Answer the file's commands as an SMT-LIB solver does."""
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("solve-bv-as-int", "sum")
    solver.setOption("produce-models", "true")
    parser = cvc5.InputParser(solver)
    parser.setFileInput(cvc5.InputLanguage.SMT_LIB_2_6, sys.argv[-1])
    symbols = parser.getSymbolManager()
    while not (command := parser.nextCommand()).isNull():
        answer = command.invoke(solver, symbols)
        if answer:
            print(answer.strip())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
