// When two texts are the same, and whether there is anything to see in one. The server's package
// text decides; this says it before the server is asked. Both are tested with
// testdata/text-identity.

/**
 * The form in which the server stores a reaction: without style characters, but with U+FE0F
 * after each emoji that is shown as text without it.
 */
export const canonicalEmoji = (emoji: string): string =>
  emoji.replace(/[\ufe0e\ufe0f]/g, '').replace(/(?!\p{Emoji_Presentation})\p{Emoji}(?!\p{Emoji_Modifier})/gu, '$&\ufe0f');

const seen =
  /[^\p{Cc}\p{Cf}\p{Cs}\p{Z}\p{M}\p{DI}\p{NChar}\u2800\ufffc\u{1d159}\u{13441}\u{13442}]|[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]/u;

/** Is there anything to see? White space, controls, marks without a letter and what fonts leave out are not. */
export const visible = (text: string): boolean => seen.test(text);
