/** Makes what outlives the component that asks for it first: a $derived ends with the effect it was made in. */
export function lasting<T>(make: () => T): T {
  let made!: T;
  $effect.root(() => {
    made = make();
  });
  return made;
}
