import type { Model } from "../api/types";

const CACHE = "ponw-models";

/** A version's file, fetched once; a browser without a cache (a page without https) fetches it again after a reload. */
export async function cachedModel(
  model: Model,
  fetched: (path: string) => Promise<ArrayBuffer>,
): Promise<ArrayBuffer> {
  if (!("caches" in window)) return fetched(model.url);
  const cache = await caches.open(CACHE);
  const name = `/${model.sha256}`;
  const held = await cache.match(name);
  if (held) return held.arrayBuffer();
  const file = await fetched(model.url);
  for (const old of await cache.keys()) await cache.delete(old);
  await cache.put(name, new Response(file.slice(0)));
  return file;
}
