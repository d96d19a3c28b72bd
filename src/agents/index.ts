export type { CallFacts } from '../legs/leg-messages.js';
export type { LegRate } from '../legs/leg-rate.js';
export { AgentCall, type AgentHandler, type AnsweredPhone, type ReachedMark } from './agent-call.js';
export { hangUpTool, transferTool } from './call-tools.js';
export { type Embed, type OpenAiEmbeddingsOptions, openaiEmbeddings } from './embeddings.js';
export { geminiAgent } from './gemini.js';
export { type JoinCallOptions, joinCall } from './join-call.js';
export {
  type Knowledge,
  type KnowledgeOptions,
  knowledgeTool,
  loadKnowledge,
  type Passage,
} from './knowledge.js';
export type { ModelOptions } from './model.js';
export { openaiAgent } from './openai.js';
export { type AgentServer, type AgentServerOptions, serveAgent } from './serve-agent.js';
export type { AgentTool } from './tool.js';
