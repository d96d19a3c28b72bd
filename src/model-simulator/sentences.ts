/** A page of the example company's knowledge base: the name of its file, without `.md`. */
export type KnowledgePage = 'opening-hours' | 'repairs' | 'returns' | 'rental';

/** A sentence that the simulator has a recording of. */
export interface Sentence {
  /** Name of its recording in `fixtures/voice/`, without `.wav`. */
  readonly file: string;
  readonly text: string;
  /** Callers have another voice than agents. */
  readonly speaker: 'caller' | 'agent';
  /** The page that it stands in, or that it names. */
  readonly page?: KnowledgePage;
}

/** What a caller asks. */
export const QUESTIONS = {
  saturdays: 'When are you open on Saturdays?',
  repair: 'How long does a repair take?',
  rent: 'How much does it cost to rent a bicycle?',
  return: 'Can I return something that I bought?',
} as const;

/** What an agent says beside the knowledge base. */
export const GREETING = 'Harbour Cycles, good morning. How can I help you?';
/** Said when no page has the answer. */
export const UNKNOWN = 'I am sorry, I do not know that. Let me put you through to a colleague.';
/** Said while a search takes its time. */
export const FILLER = 'One moment, please, I am looking that up.';
/** Said of a key that the caller pressed. */
export const KEY_PRESSED = 'Thank you, I have noted the key that you pressed.';

/** Names the page that an answer stands in. */
export const SOURCES: Readonly<Record<KnowledgePage, string>> = {
  'opening-hours': 'That is in our page about opening hours.',
  repairs: 'That is in our page about repairs.',
  returns: 'That is in our page about returns.',
  rental: 'That is in our page about rental.',
};

const KNOWLEDGE: Readonly<Record<KnowledgePage, readonly string[]>> = {
  'opening-hours': [
    'On weekdays we are open from nine in the morning until six in the evening.',
    'On Saturdays we are open from ten until four.',
    'We are closed on Sundays and on public holidays.',
  ],
  repairs: [
    'A standard repair takes two working days.',
    'A puncture is mended while you wait, for twelve euros.',
    'You can leave your bicycle at the workshop door before nine.',
  ],
  returns: [
    'You can return unused goods within thirty days with the receipt.',
    'A refund goes back to the card that you paid with within five days.',
  ],
  rental: [
    'A city bicycle costs fifteen euros a day to rent.',
    'A helmet and a lock are included in the rental price.',
  ],
};

const PAGES = Object.keys(KNOWLEDGE) as KnowledgePage[];

/** Every sentence that there is a recording of. */
export const SENTENCES: readonly Sentence[] = [
  ...Object.entries(QUESTIONS).map(
    ([name, text]): Sentence => ({ file: `question-${name}`, text, speaker: 'caller' }),
  ),
  ...Object.entries({ greeting: GREETING, unknown: UNKNOWN, filler: FILLER, key: KEY_PRESSED }).map(
    ([file, text]): Sentence => ({ file, text, speaker: 'agent' }),
  ),
  ...PAGES.flatMap((page) => [
    ...KNOWLEDGE[page].map(
      (text, i): Sentence => ({ file: `${page}-${i + 1}`, text, speaker: 'agent', page }),
    ),
    { file: `source-${page}`, text: SOURCES[page], speaker: 'agent', page } as const,
  ]),
];
