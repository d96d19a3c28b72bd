import type { Clock } from '../../clock.js';
import type { StreamLeg } from './leg.js';
import type { StreamProgram } from './program-leg.js';

/** A phone that was answered waits so long, at most, until it hears the programs of its room. */
const READY_MS = 1_000;
const READY_LOOK_MS = 20;

/** The phones and programs of this process in one Stream call. */
export class StreamRoom {
  /** Both replaced, never mutated: one may leave during a loop. */
  phones: readonly StreamLeg[] = [];
  programs: readonly StreamProgram[] = [];

  /** @param onEmpty called when the last one has left */
  constructor(
    private readonly clock: Clock,
    private readonly onEmpty: () => void,
  ) {}

  /** User ids of the programs that are heard in the call. */
  get talkers(): string[] {
    return this.programs.filter(({ talks }) => talks).map(({ user }) => user.id);
  }

  addPhone(phone: StreamLeg): void {
    this.phones = [...this.phones, phone];
  }

  removePhone(phone: StreamLeg): void {
    if (!this.phones.includes(phone)) return;
    this.phones = this.phones.filter((other) => other !== phone);
    for (const program of this.programs) program.phoneGone(phone);
    this.checkEmpty();
  }

  addProgram(program: StreamProgram): void {
    this.programs = [...this.programs, program];
    for (const phone of this.phones) phone.followPrograms();
  }

  removeProgram(program: StreamProgram): void {
    if (!this.programs.includes(program)) return;
    this.programs = this.programs.filter((other) => other !== program);
    for (const phone of this.phones) phone.followPrograms();
    this.checkEmpty();
  }

  /** A phone becomes visible in the call, and with it the programs that waited for one. */
  phoneAppears(): void {
    for (const program of this.programs) program.appearIfDue();
  }

  /** Resolves when the phone hears the programs that are about to join, or after a second. */
  async programsReady(phone: StreamLeg): Promise<void> {
    for (let waitedMs = 0; waitedMs < READY_MS; waitedMs += READY_LOOK_MS) {
      const isReady = this.programs.every((program) => program.isReadyFor(phone));
      if (isReady || !phone.isIn) return;
      await this.clock.sleep(READY_LOOK_MS);
    }
  }

  /** A phone has received a frame with a program's voice. */
  programHeard(phone: StreamLeg): void {
    for (const program of this.programs) program.heardBy(phone);
  }

  private checkEmpty(): void {
    if (this.phones.length === 0 && this.programs.length === 0) this.onEmpty();
  }
}
