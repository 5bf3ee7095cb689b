import { useEffect, useRef, useState } from "preact/hooks";
import { type ApiError, asApiError, json } from "./http";
import { token } from "./token";
import type { GlobalStats, StatsMessage } from "./types";

export interface Resource<T> {
  /** The newest answer; it stays while a later call fails. */
  data: T | undefined;
  error: ApiError | undefined;
}

/** A document that is asked for again every `seconds` while the page is visible; `path` undefined asks for nothing. */
export function useResource<T>(path: string | undefined, seconds = 3): Resource<T> {
  const [state, setState] = useState<Resource<T>>({ data: undefined, error: undefined });
  useEffect(() => {
    if (!path) return;
    const ending = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const data = await json<T>(path, { signal: ending.signal, token });
        setState({ data, error: undefined });
      } catch (error) {
        if (ending.signal.aborted) return;
        setState((before) => ({ data: before.data, error: asApiError(error) }));
      }
      again();
    };
    const again = () => {
      if (!document.hidden && !ending.signal.aborted) timer = window.setTimeout(ask, seconds * 1000);
    };
    const seen = () => {
      window.clearTimeout(timer);
      if (!document.hidden) void ask();
    };
    document.addEventListener("visibilitychange", seen);
    void ask();
    return () => {
      document.removeEventListener("visibilitychange", seen);
      window.clearTimeout(timer);
      ending.abort();
    };
  }, [path, seconds]);
  return state;
}

const SOCKET_RETRY_MS = 3000;

/** A gateway's figures, pushed by its WebSocket; asked for where that does not open. */
export function useGlobalStats(wanted: boolean): Resource<GlobalStats> {
  const [pushed, setPushed] = useState<GlobalStats>();
  const [open, setOpen] = useState(false);
  const asked = useResource<GlobalStats>(wanted && !open ? "/api/v1/stats/global" : undefined, 2);
  useEffect(() => {
    if (!wanted) return;
    let socket: WebSocket | undefined;
    let timer = 0;
    let over = false;
    const connect = () => {
      socket = new WebSocket(
        `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/api/v1/ws/status`,
      );
      socket.onopen = () => {
        socket?.send(JSON.stringify({ type: "hello", token: null }));
        setOpen(true);
      };
      socket.onmessage = (message: MessageEvent<string>) => {
        const body = JSON.parse(message.data) as StatsMessage | { type: string };
        if (body.type === "stats" && "stats" in body) setPushed(body.stats);
      };
      socket.onclose = () => {
        setOpen(false);
        if (!over) timer = window.setTimeout(connect, SOCKET_RETRY_MS);
      };
    };
    connect();
    return () => {
      over = true;
      window.clearTimeout(timer);
      socket?.close();
    };
  }, [wanted]);
  const newer = pushed && (!asked.data || pushed.at >= asked.data.at) ? pushed : asked.data;
  return { data: newer, error: open ? undefined : asked.error };
}

export interface Point {
  at: number;
  value: number;
}

/** The values that something had while the page was open, the newest last. */
export function useHistory(at: number | undefined, value: number | null | undefined, keep = 600): Point[] {
  const kept = useRef<Point[]>([]);
  const last = kept.current.at(-1);
  if (at !== undefined && typeof value === "number" && (!last || at > last.at)) {
    kept.current = [...kept.current.slice(1 - keep), { at, value }];
  }
  return kept.current;
}
