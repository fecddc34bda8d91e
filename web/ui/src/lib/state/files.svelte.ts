/** What the page says of files stays for so long, in milliseconds. */
const shownFor = 6_000;

/** Files that are dropped or pasted. They cannot be sent yet. */
class Files {
  /** The user tried to send one. */
  refused = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  refuse(): void {
    this.refused = true;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.refused = false), shownFor);
  }
}

export const files = new Files();

const isFile = (data: DataTransfer | null): boolean => data?.types.includes('Files') ?? false;

/** Text can be dropped where it can be written, and nowhere else: the browser would open it instead of the page. */
const isEditable = (target: EventTarget | null): boolean => target instanceof Element && target.closest('input, textarea') !== null;

function drag(e: DragEvent): void {
  const file = isFile(e.dataTransfer);
  if (!file && isEditable(e.target)) return;
  e.preventDefault();
  if (e.dataTransfer) e.dataTransfer.dropEffect = 'none';
  if (file) files.refuse();
}

function paste(e: ClipboardEvent): void {
  const data = e.clipboardData;
  // Office programs add a picture to what they copy: the text is what is meant.
  if (!isFile(data) || (data!.types.includes('text/plain') && data!.types.includes('text/html'))) return;
  e.preventDefault();
  files.refuse();
}

/** Keeps the browser from leaving the page for what is dropped on it. */
export function guardFiles(on: EventTarget): void {
  const listen = (type: string, f: (e: never) => void): void => on.addEventListener(type, f as EventListener);
  for (const type of ['dragenter', 'dragover', 'drop']) listen(type, drag);
  listen('paste', paste);
}
