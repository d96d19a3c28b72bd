import type { AgentTool } from './tool.js';

export async function loadKnowledge(folder: string): Promise<string> {
  return folder;
}
export function knowledgeTool(_knowledge: string): AgentTool {
  throw new Error('not built yet');
}
