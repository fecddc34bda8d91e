/**
 * Where Parley lives. The server writes its path into <base>, so everything is resolved
 * against that: pages, the API, the socket.
 */
const baseURI = (): URL => new URL(document.baseURI);

/** An absolute address for a path below Parley, given without a leading slash. */
export function urlOf(path: string): string {
  return new URL(path, baseURI()).href;
}

/** The socket's address. */
export function socketURL(): string {
  return urlOf('api/v1/socket').replace(/^http/, 'ws');
}

/** The path of Parley itself, with a slash at both ends. */
export function basePath(): string {
  return baseURI().pathname;
}

/**
 * A name in this browser's storage. Several Parleys may share an origin under different
 * paths.
 */
export function storageName(name: string): string {
  return `parley:${basePath()}:${name}`;
}
