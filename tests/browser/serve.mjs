// A small static server on this machine only: the pages of the scenarios need an origin, because a
// page from a file has no IndexedDB of its own and no module worker.

import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, sep } from 'node:path';

// `WebAssembly.instantiateStreaming` and module workers refuse anything else.
const TYPES = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.map': 'application/json; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/**
 * Serves folders by the start of the path: `{ '/': pages, '/pkg/': built }`, the longest one that fits.
 * A port of the system's choice; `close` ends open connections too.
 *
 * @param {Record<string, string>} folders
 * @returns {Promise<{ url: string, close: () => Promise<void> }>} `url` without a slash at its end
 */
export async function serve(folders) {
  const mounts = Object.entries(folders).sort(([a], [b]) => b.length - a.length);
  const server = createServer((request, response) => {
    answer(mounts, request, response).catch(why => fail(response, 500, why.message));
  });
  await new Promise((listening, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', listening);
  });
  const close = () => new Promise(closed => {
    server.close(closed);
    server.closeAllConnections();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, close };
}

async function answer(mounts, request, response) {
  if (request.method !== 'GET' && request.method !== 'HEAD') return fail(response, 405, 'only GET and HEAD');
  const { pathname } = new URL(request.url, 'http://127.0.0.1');
  // Every browser asks for it by itself, and an error would be one of the page's.
  if (pathname === '/favicon.ico') return response.writeHead(204).end();
  const file = await find(mounts, pathname);
  if (!file) return fail(response, 404, `no file ${pathname}`);
  response.writeHead(200, {
    'content-type': TYPES[extname(file.path)] ?? 'application/octet-stream',
    'content-length': file.size,
    'cache-control': 'no-cache',
  });
  if (request.method === 'HEAD') return response.end();
  createReadStream(file.path).on('error', why => response.destroy(why)).pipe(response);
}

/** The file of a path, or nothing: never one outside of its folder, not even through a link. */
async function find(mounts, pathname) {
  const [prefix, folder] = mounts.find(([start]) => pathname.startsWith(start)) ?? [];
  if (!folder) return undefined;
  try {
    const root = await realpath(folder);
    const path = await realpath(join(root, decodeURIComponent(pathname.slice(prefix.length))));
    const { size, isFile } = await describe(path);
    return path.startsWith(root + sep) && isFile ? { path, size } : undefined;
  } catch {
    return undefined; // not there, or no path at all
  }
}

async function describe(path) {
  const found = await stat(path);
  return { size: found.size, isFile: found.isFile() };
}

function fail(response, status, why) {
  if (response.headersSent) return response.destroy();
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(`${why}\n`);
}
