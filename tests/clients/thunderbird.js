// What the tests ask of Thunderbird, by the functions that its windows call. Loaded once into the remote control's scope.
// A folder is named by its account's user and its path of names, a message by its subject.

const module = name => ChromeUtils.importESModule(`resource:///modules/${name}.sys.mjs`);
const { MailServices } = module("MailServices");

const accountOf = user => MailServices.accounts.accounts.find(each => each.incomingServer.username == user);
const rootOf = user => accountOf(user).incomingServer.rootFolder;
const subjects = folder => [...folder.messages].map(each => each.mime2DecodedSubject);

function folderAt(user, path) {
  return path.split("/").reduce((folder, name) => folder.getChildNamed(name), rootOf(user));
}

function messageIn(folder, subject) {
  const found = [...folder.messages].find(each => each.mime2DecodedSubject == subject);
  if (!found) {
    throw new Error(`no "${subject}" among ${subjects(folder)}`);
  }
  return found;
}

/** A promise of success, and the listener that hears of it. */
function copying() {
  const heard = Promise.withResolvers();
  heard.listener = {
    QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    onStartCopy() {},
    onProgress() {},
    setMessageKey() {},
    getMessageId: () => null,
    onStopCopy(status) {
      if (Components.isSuccessCode(status)) {
        heard.resolve();
      } else {
        heard.reject(new Error(`it failed with 0x${status.toString(16)}`));
      }
    },
  };
  return heard;
}

Object.assign(globalThis, {
  /** Accept a certificate in these places (host and port), as the dialog for exceptions does. */
  accept(certificate, places) {
    const database = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
    const overrides = Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService);
    for (const [host, port] of places) {
      overrides.rememberValidityOverride(host, port, {}, database.constructX509FromBase64(certificate), true);
    }
  },

  /** The account hub's way: guess the servers from the address, log in, create. What it found of each server. */
  async setUp(name, address, password) {
    const { AccountConfig } = module("accountcreation/AccountConfig");
    const { GuessConfig } = module("accountcreation/GuessConfig");
    const { ConfigVerifier } = module("accountcreation/ConfigVerifier");
    const { CreateInBackend } = module("accountcreation/CreateInBackend");
    const { signal } = new AbortController();
    const domain = address.split("@")[1];
    const config = await GuessConfig.guessConfig(domain, () => {}, null, "both", signal);
    AccountConfig.replaceVariables(config, name, address, password);
    await new ConfigVerifier(window.msgWindow, signal).verifyConfig(config, true);
    await CreateInBackend.createAccountInBackend(config);
    return [config.incoming, ...config.incomingAlternatives, config.outgoing].map(server => ({
      service: server.type,
      host: server.hostname,
      port: server.port,
      tls: server.socketType == Ci.nsMsgSocketType.SSL,
      user: server.username,
    }));
  },

  /** Ask the server for its folders. */
  discover(user) {
    accountOf(user).incomingServer.performExpand(window.msgWindow);
  },

  /** The folders known so far, path by path, each with what it is for. */
  folders(user) {
    const roles = ["Inbox", "Archive", "Drafts", "Junk", "SentMail", "Trash"];
    const path = folder => (folder.parent == rootOf(user) ? "" : `${path(folder.parent)}/`) + folder.name;
    return Object.fromEntries(
      rootOf(user).descendants.map(folder => [
        path(folder),
        roles.find(role => folder.isSpecialFolder(Ci.nsMsgFolderFlags[role], false)) ?? "",
      ])
    );
  },

  subscribe(user, path) {
    const server = accountOf(user).incomingServer.QueryInterface(Ci.nsISubscribableServer);
    server.subscribe(path);
  },

  create(user, name) {
    rootOf(user).createSubfolder(name, window.msgWindow);
  },

  rename(user, path, name) {
    folderAt(user, path).rename(name, window.msgWindow);
  },

  /** The subjects in a folder as far as they are known. With `ask` the server is asked for more. */
  list(user, path, ask) {
    const folder = folderAt(user, path);
    if (ask) {
      folder.updateFolder(window.msgWindow);
    }
    return subjects(folder);
  },

  /** What is known of a message: read, starred, answered, and its tags. */
  state(user, path, subject) {
    const message = messageIn(folderAt(user, path), subject);
    const answered = Boolean(message.flags & Ci.nsMsgMessageFlags.Replied);
    return [message.isRead, message.isFlagged, answered, message.getStringProperty("keywords")];
  },

  /** Mark as read, star and tag. */
  mark(user, path, subject) {
    const folder = folderAt(user, path);
    const messages = [messageIn(folder, subject)];
    folder.markMessagesRead(messages, true);
    folder.markMessagesFlagged(messages, true);
    folder.addKeywordsToMessages(messages, "$label1");
  },

  async transfer(user, path, subject, target, move) {
    const source = folderAt(user, path);
    const { listener, promise } = copying();
    const messages = [messageIn(source, subject)];
    const to = folderAt(user, target);
    MailServices.copy.copyMessages(source, messages, to, move, listener, window.msgWindow, false);
    await promise;
  },

  /** The delete key. */
  async remove(user, path, subject) {
    const folder = folderAt(user, path);
    const { listener, promise } = copying();
    folder.deleteMessages([messageIn(folder, subject)], window.msgWindow, false, false, listener, false);
    await promise;
  },

  /** The subjects of what the server finds. */
  async search(user, path, attribute, text) {
    const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, folderAt(user, path));
    const term = session.createTerm();
    term.attrib = Ci.nsMsgSearchAttrib[attribute];
    term.op = Ci.nsMsgSearchOp.Contains;
    const { value } = term;
    value.attrib = term.attrib;
    value.str = text;
    term.value = value;
    session.appendTerm(term);
    const found = [];
    await new Promise(resolve => {
      session.registerListener({
        QueryInterface: ChromeUtils.generateQI(["nsIMsgSearchNotify"]),
        onSearchHit: message => found.push(message.mime2DecodedSubject),
        onSearchDone: resolve,
        onNewSearch() {},
      });
      session.search(window.msgWindow);
    });
    return found;
  },

  /** A message's text, and its attachments with their sizes. */
  async read(user, path, subject) {
    const { MsgHdrToMimeMessage } = module("gloda/MimeMessage");
    const folder = folderAt(user, path);
    const header = messageIn(folder, subject);
    const message = await new Promise(resolve =>
      MsgHdrToMimeMessage(header, null, (_, parsed) => resolve(parsed), true)
    );
    const attachments = message.allAttachments.map(each => [each.name, each.size]);
    return { text: message.coerceBodyToPlaintext(folder), attachments: Object.fromEntries(attachments) };
  },

  /** Write to somebody, and send it or keep it as a draft. */
  async write(user, { to, subject, text, file = null, draft = false }) {
    const account = accountOf(user);
    const identity = account.defaultIdentity;
    const create = (name, type) => Cc[`@mozilla.org/messengercompose/${name};1`].createInstance(type);
    const params = create("composeparams", Ci.nsIMsgComposeParams);
    params.identity = identity;
    params.format = Ci.nsIMsgCompFormat.PlainText;
    params.composeFields = create("composefields", Ci.nsIMsgCompFields);
    const from = `${identity.fullName} <${identity.email}>`;
    Object.assign(params.composeFields, { from, to, subject, body: text });
    if (file) {
      const attachment = create("attachment", Ci.nsIMsgAttachment);
      attachment.url = Services.io.newFileURI(await IOUtils.getFile(file)).spec;
      attachment.name = PathUtils.filename(file);
      params.composeFields.addAttachment(attachment);
    }
    const mode = draft ? Ci.nsIMsgCompDeliverMode.SaveAsDraft : Ci.nsIMsgCompDeliverMode.Now;
    await MailServices.compose.initCompose(params, window).sendMsg(mode, identity, account.key, null, null);
  },

  /** May messages be put into the folder? It asked for our rights there (RFC 4314). */
  writable: (user, path) => folderAt(user, path).canFileMessages,
});
