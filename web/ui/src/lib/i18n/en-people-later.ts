// What dialogs and menus say of blocks, requests and archived conversations.

export const people = {
  block: {
    block: (name: string) => `Block ${name}`,
    unblock: (name: string) => `Unblock ${name}`,
    ask: (name: string) => `Block ${name}?`,
    consequence: (name: string) => `${name} can no longer write to you or add you to groups. You will not see each other’s presence.`,
    yes: 'Block',
    no: 'Unblock',
    cancel: 'Cancel',
    blocked: (name: string) => `You blocked ${name}.`,
    refused: 'You cannot write to this person.',
    draft: 'Your draft is kept:',
    list: 'Blocked people',
    hint: 'They can’t write to you or add you to groups. In groups you share, their messages are folded.',
    none: 'You haven’t blocked anyone.',
    failed: 'Couldn’t load the people you blocked.',
  },

  request: {
    title: 'Message request',
    ask: (name: string) => `${name} is not among your contacts yet. Accept, block or report?`,
    askShort: (name: string) => `${name} is not among your contacts yet. Accept or block?`,
    note: (name: string) => `Until you accept, ${name} doesn’t see whether you’ve read this. Replying accepts.`,
    accept: 'Accept',
  },

  archive: {
    archive: 'Archive',
    back: 'Move back to the list',
    backLabel: (name: string) => `Move ${name} back to the list`,
    hint: 'A new message brings a conversation back to the list.',
    none: 'No archived conversations.',
  },
};
