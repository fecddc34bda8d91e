// Every sentence of the interface, in English. Another language is another file of the
// same form.

const plural = new Intl.PluralRules('en');
const number = new Intl.NumberFormat('en');
const count = (n: number, one: string, more: string): string =>
  `${number.format(n)} ${plural.select(n) === 'one' ? one : more}`;

const wait = (s: number): string => (s > 90 ? `in ${count(Math.ceil(s / 60), 'minute', 'minutes')}` : `in ${count(s, 'second', 'seconds')}`);

export const en = {
  app: 'Parley',
  title: (unread: number, name: string) => `${unread > 0 ? `(${number.format(unread)}) ` : ''}${name ? `${name} · ` : ''}Parley`,
  number: (n: number) => number.format(n),

  time: { today: 'Today', yesterday: 'Yesterday' },

  error: {
    offline: 'Parley cannot be reached. Check your connection and try again.',
    unavailable: 'Parley cannot do this right now. Try again in a moment.',
    internal: 'Something went wrong at the server. Try again; if it stays so, tell whoever runs this Parley.',
    rateLimited: (s: number) => `Too many tries. Try again ${s > 0 ? wait(s) : 'in a while'}.`,
    other: 'That did not work.',
    broken: 'Something in this page broke. What you wrote is kept.',
    reload: 'Load the page again',
  },

  boot: {
    loading: 'Loading…',
    unreachable: 'Parley cannot be reached',
    unreachableHint: 'The server does not answer. It is tried again every few seconds.',
    again: 'Try again',
  },

  account: {
    username: 'Username',
    usernameHint: 'Small letters, digits and . _ -',
    displayName: 'Your name',
    displayNameHint: 'This is what others see.',
    password: 'Password',
    newPassword: 'New password',
    currentPassword: 'Current password',
    passwordHint: 'At least 8 characters.',
    showPassword: 'Show password',
    hidePassword: 'Hide password',
    missing: 'This is needed.',
    usernameForm: 'Use 2 to 32 of a–z, 0–9 and . _ -',
    passwordShort: 'At least 8 characters, please.',
    passwordLong: 'At most 256 characters, please.',
    perhapsMade: 'The answer to your first try was lost; perhaps your account was made by it. Try to sign in.',
  },

  setup: {
    title: 'Welcome to your Parley',
    lead: 'Make the first account. It is the admin’s: it invites everybody else.',
    submit: 'Create account',
    noToken: 'This link is not complete',
    noTokenHint: 'Parley printed a set-up link in the terminal it was started in. Open that link whole, with everything after the #.',
  },

  join: {
    title: 'You are invited',
    lead: 'Choose a name and a password, and you are in.',
    submit: 'Join',
    noCode: 'This invitation is not complete',
    noCodeHint: 'Open the link you were sent whole, with everything after the #, or ask for a new one.',
    haveAccount: 'I have an account already',
  },

  signIn: {
    title: 'Sign in',
    submit: 'Sign in',
    elsewhere: 'You were signed out. Sign in again to go on; what you wrote is kept.',
    self: 'You are signed out.',
    noAccount: 'No account yet? Ask an admin of this Parley for an invitation.',
  },

  list: {
    label: 'Conversations',
    search: 'Search people and conversations',
    clear: 'Clear search',
    new: 'New conversation',
    you: 'You',
    draft: 'Draft',
    failed: 'Not sent',
    created: 'No messages yet',
    unread: (n: number) => count(n, 'unread message', 'unread messages'),
    badge: (n: number) => (n > 99 ? '99+' : number.format(n)),
    loadFailed: 'Your conversations could not be loaded.',
    again: 'Try again',
    more: 'Show more',
    empty: 'No conversations yet',
  },

  find: {
    title: 'Find people and conversations',
    placeholder: 'Name of a person or conversation',
    conversations: 'Conversations',
    people: 'People',
    none: (q: string) => `Nobody found for “${q}”.`,
    noneHint: 'Try another spelling, or the username.',
    alone: 'Nobody else is here yet.',
    failed: 'People could not be searched.',
    hint: '↑ ↓ to choose, Enter to open',
    results: (n: number) => count(n, 'result', 'results'),
  },

  empty: {
    pickTitle: 'Pick a conversation',
    pickHint: 'or find somebody with',
    title: (name: string) => `Welcome, ${name}`,
    aloneHint: 'It is quiet here. Invite the people you want to talk to: they open a link, choose a name, and are in.',
    aloneMember: 'It is quiet here. As soon as others join, you find them under “New conversation”.',
    hint: 'Find somebody and say hello, or invite more people.',
    hintMember: 'Find somebody and say hello.',
    invite: 'Invite people',
    find: 'Find somebody',
  },

  invite: {
    title: 'Invite people',
    lead: 'Everybody who opens the link can make an account here. Send it only to those you mean.',
    expires: 'Works for',
    day: '1 day',
    week: '7 days',
    month: '30 days',
    uses: 'People who can use it',
    create: 'Make a link',
    link: 'Invitation link',
    until: (when: string, uses: number) => `For ${count(uses, 'person', 'people')}, until ${when}.`,
    copy: 'Copy link',
    copied: 'Copied',
    copyFailed: 'The browser did not let us copy. The link is selected: copy it yourself.',
    share: 'Share…',
    another: 'Make another link',
    shareText: 'Join me on Parley',
  },

  conversation: {
    back: 'Back to conversations',
    log: (name: string) => `Messages with ${name}`,
    loading: 'Loading messages…',
    loadFailed: 'The messages could not be loaded.',
    again: 'Try again',
    loadingBefore: 'Loading earlier messages…',
    beforeFailed: 'Earlier messages could not be loaded.',
    afterFailed: 'Later messages could not be loaded.',
    notFound: 'There is no such conversation',
    notFoundHint: 'It may have been removed, or the link is not for you.',
    toList: 'To your conversations',
    beginning: (name: string) => `This is the beginning of your conversation with ${name}.`,
    unread: 'New messages',
    jump: 'Jump to the latest message',
    jumpNew: (n: number) => count(n, 'new message', 'new messages'),
    deleted: 'This message was deleted',
    you: 'You',
    says: (name: string, time: string) => `${name}, ${time}`,
  },

  send: {
    label: (name: string) => `Message to ${name}`,
    placeholder: 'Write a message',
    send: 'Send',
    tooLong: (over: number) => `Too long by ${count(over, 'byte', 'bytes')}. Shorten it or send it in parts.`,
    sending: 'Sending',
    waiting: 'Waiting for the connection',
    sent: 'Sent',
    failed: 'Not sent.',
    retry: 'Try again',
    delete: 'Delete',
    storage: 'This device is full.',
    conflict: 'Another message has its place. Send it again.',
    tooLarge: 'It is too long. Send it in parts.',
    gone: 'You are not in this conversation any more.',
  },

  network: {
    offline: 'No connection. What you write is kept here and sent when you are back.',
    now: 'Connect now',
    protocol: 'This page and the server do not understand each other any more.',
    outdated: 'There is a new version of Parley.',
    reload: 'Load it',
  },

  menu: {
    open: 'Your account and settings',
    settings: 'Settings',
    invite: 'Invite people',
    shortcuts: 'Keyboard shortcuts',
    signOut: 'Sign out',
    signOutUnsent: (n: number) => `${count(n, 'message is', 'messages are')} not sent yet and will be lost.`,
    signOutAnyway: 'Sign out anyway',
    cancel: 'Stay',
    theme: 'Appearance',
    themes: { auto: 'System', light: 'Light', dark: 'Dark' },
    close: 'Close',
  },

  settings: {
    title: 'Settings',
    profile: 'Profile',
    appearance: 'Appearance',
    password: 'Password',
    sessions: 'Where you are signed in',
    sessionsHint: 'End what you do not know, and change your password then.',
    save: 'Save',
    saved: 'Saved',
    changePassword: 'Change password',
    passwordChanged: 'Password changed. Everything else you were signed in with is signed out.',
    thisOne: 'This browser',
    device: (browser: string, system: string) => [browser, system].filter(Boolean).join(' on ') || 'Unknown program',
    lastUsed: (when: string) => `Last used ${when}`,
    signedIn: (when: string) => `signed in ${when}`,
    end: 'End',
    endLabel: (device: string) => `End the session of ${device}`,
    sessionsFailed: 'Your sessions could not be loaded.',
    username: (name: string) => `@${name}`,
  },

  shortcuts: {
    title: 'Keyboard shortcuts',
    list: {
      find: 'Find people and conversations',
      nextPrevious: 'Next, previous conversation',
      send: 'Send',
      newline: 'New line',
      messages: 'From message to message',
      toMessages: 'From the empty box to the messages',
      escape: 'Close what is open; back to the box',
      help: 'This list',
    },
  },

  notFound: { title: 'There is nothing here', hint: 'The address may have a typo.' },
};
