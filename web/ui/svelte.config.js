// Runes everywhere; nothing else needs configuring.
export default { compilerOptions: { runes: true } };
