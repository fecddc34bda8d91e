/** A storage of the browser; null where its settings forbid it. */
export const storage = (of: 'localStorage' | 'sessionStorage'): Storage | null => {
  try {
    return window[of];
  } catch {
    return null;
  }
};
