// What a person can refuse: blocks, and conversations off the list. What is not needed at first
// is in en-people-later.ts.

const number = new Intl.NumberFormat('en');

export const people = {
  folded: {
    messages: (n: number, senders: number) =>
      n === 1 ? 'Message from a blocked person' : `${number.format(n)} messages from ${senders === 1 ? 'a blocked person' : 'blocked people'}`,
    show: 'Show',
  },

  archive: {
    title: 'Archived',
    count: (n: number) => (n === 1 ? '1 conversation' : `${number.format(n)} conversations`),
    actions: (name: string) => `Actions for ${name}`,
  },
};
