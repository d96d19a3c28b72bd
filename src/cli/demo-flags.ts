/** What `trunkline demo` was asked for. */
export interface DemoFlags {
  readonly bridge: 'local' | 'stream';
  readonly calls: number;
  readonly seconds: number;
  readonly record?: string;
  readonly json?: boolean;
}
