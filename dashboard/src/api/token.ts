// The token of the panel, or of the node's wallet: it comes in the address' fragment, which a browser sends to nobody,
// and leaves the address at once, so that it is neither copied nor kept in the history.

const KEY = "ponw-token";

function take(): string | undefined {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  try {
    if (given) {
      sessionStorage.setItem(KEY, given);
      history.replaceState(null, "", location.pathname + location.search);
      return given;
    }
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return given ?? undefined; // Storage may be blocked; then the address keeps the token.
  }
}

export const token: string | undefined = take();
