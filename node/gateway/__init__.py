"""The gateway: volunteers without keys train over HTTP; the operator checks what comes in and claims it."""
