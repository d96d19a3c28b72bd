/** Orders about one thing, some of which wait for a file: whatever comes later has the last word. */
export class LatestWins {
  private asked = 0;
  private taken = 0;

  /** An order has come: its turn. */
  ask(): number {
    this.asked += 1;
    return this.asked;
  }

  /**
   * It is carried out now. One that fails before changes nothing for those that came earlier.
   * @returns false where a later one was carried out already
   */
  take(turn: number): boolean {
    if (turn < this.taken) return false;
    this.taken = turn;
    return true;
  }
}
