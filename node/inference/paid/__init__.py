"""Paid answers: quotes, vouchers, settlement; the server side, the payer side, and what both check."""
