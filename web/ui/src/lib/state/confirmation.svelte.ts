/** The password that a sensitive change needs again. */
class Confirmation {
  /** The dialog is open. */
  asked = $state(false);
  #answer: Promise<boolean> | null = null;
  #resolve = (_ok: boolean): void => {};

  /** Opens the dialog; whatever asks meanwhile gets the same answer. */
  ask(): Promise<boolean> {
    this.asked = true;
    return (this.#answer ??= new Promise((resolve) => (this.#resolve = resolve)));
  }

  answer(ok: boolean): void {
    this.asked = false;
    this.#answer = null;
    this.#resolve(ok);
  }
}

export const confirmation = new Confirmation();
