"""The words of delivery reports, for people who know nothing of mail servers. One table for each language."""

from __future__ import annotations

from typing import Final, NamedTuple


class Cause(NamedTuple):
    """What happened, whose fault it looks like, and what to do."""

    what: str
    whose: str
    remedy: str


class Words(NamedTuple):
    """The fixed words of a language. `{...}` is filled in."""

    sender_name: str
    subjects: dict[str, str]
    openings: dict[str, str]
    what: str
    whose: str
    remedy: str
    said: str
    until: str
    about: str
    date: str
    attached: str
    no_subject: str
    causes: dict[str, Cause]


ENGLISH: Final = Words(
    sender_name="Mail Delivery",
    subjects={
        "failed": "Not delivered: {subject}",
        "delayed": "Delayed: {subject}",
        "delivered": "Delivered: {subject}",
        "expanded": "Passed on to several: {subject}",
        "relayed": "Passed on: {subject}",
    },
    openings={
        "failed": "Your message could not be delivered to:",
        "delayed": "Your message is late, but not lost. You need not send it again. It waits for:",
        "delivered": "Your message was delivered to:",
        "expanded": (
            "Your message arrived at these addresses, which stand for several others, and was passed on to them. "
            "You hear of those only if something fails:"
        ),
        "relayed": (
            "Your message was handed to the next mail server, which does not report back. "
            "No further report will come for:"
        ),
    },
    what="What happened",
    whose="Whose fault it looks like",
    remedy="What to do",
    said="{host} said: {text}",
    until="We go on trying until {date}.",
    about="The message: {subject}",
    date="Sent on: {date}",
    attached="Details for administrators, and your message or its beginning, are attached.",
    no_subject="(no subject)",
    causes={
        "unknown-user": Cause(
            "There is no such mailbox at {domain}.",
            "The address: it may be misspelt, or the mailbox may be gone.",
            "Check the spelling, or ask the recipient in another way for the right address.",
        ),
        "no-domain": Cause(
            "The domain {domain} does not exist, or has no mail service.",
            "The address: what stands after the @ may be misspelt.",
            "Check the spelling of the part after the @.",
        ),
        "no-mail": Cause(
            "The domain {domain} says that it takes no mail at all.",
            "The address: nobody at this domain can get mail.",
            "Check the part after the @, or ask the recipient for another address.",
        ),
        "disabled": Cause(
            "The mailbox exists but takes no mail now.",
            "The recipient's side.",
            "Try again later, or reach the recipient in another way.",
        ),
        "full": Cause(
            "The recipient's mailbox is full.",
            "The recipient's side.",
            "Tell the recipient in another way, and send it again when there is room.",
        ),
        "too-large": Cause(
            "The message is larger than {domain} takes.",
            "The message: it has {size}.",
            "Send it without large attachments, for instance with a link to the files.",
        ),
        "refused": Cause(
            "The server of {domain} refused the message.",
            "The recipient's side decided so; its words below say why.",
            "If the words below do not help, ask the recipient to let your mail through.",
        ),
        "reputation": Cause(
            "The server of {domain} takes the message for spam, or does not trust our server.",
            "Perhaps our server's, perhaps the other side is too strict.",
            "Tell your own mail administrator, and forward this report.",
        ),
        "authentication": Cause(
            "The server of {domain} does not believe that the message is really from your domain.",
            "Our side: the DNS records SPF, DKIM or DMARC of your domain are probably wrong.",
            "Tell your own mail administrator, and forward this report.",
        ),
        "tls": Cause(
            "No connection to the server of {domain} is as safe as it has to be, so nothing was sent.",
            "The recipient's mail server: its encryption or its certificate is not in order.",
            "Nothing, unless it lasts; then tell the recipient's administrator.",
        ),
        "no-answer": Cause(
            "The mail server of {domain} does not answer.",
            "The recipient's mail server, or the network between us.",
            "Check the part after the @. If it is right, wait, or reach the recipient in another way.",
        ),
        "dns": Cause(
            "The mail servers of {domain} cannot be looked up at the moment.",
            "The name servers of {domain}, or the network.",
            "Wait. If it lasts, check the part after the @.",
        ),
        "loop": Cause(
            "The message goes round in a circle between mail servers.",
            "A mail administrator's: forwarding is set up wrongly.",
            "Tell your own mail administrator, and forward this report.",
        ),
        "international": Cause(
            "The server of {domain} cannot take addresses or headers with characters beyond ASCII.",
            "The recipient's mail server is too old for it.",
            "Send from, and to, an address with ASCII letters only.",
        ),
        "conversion": Cause(
            "The server of {domain} cannot take the message in the form in which it was written.",
            "The recipient's mail server is too old for it.",
            "Send it in another form, for instance without unusual attachments.",
        ),
        "login": Cause(
            "Our server could not log in to the server that sends its mail on.",
            "Our side.",
            "Tell your own mail administrator, and forward this report.",
        ),
        "busy": Cause(
            "The server of {domain} asks us to come again later.",
            "Nobody's: many servers do so with senders whom they do not know yet.",
            "Nothing; we try again by ourselves.",
        ),
        "expired": Cause(
            "We have tried for days, and the server of {domain} never took the message.",
            "The recipient's mail server, or the network between us.",
            "Check the part after the @. If it is right, reach the recipient in another way.",
        ),
        "other": Cause(
            "The server of {domain} did not take the message.",
            "Probably the recipient's side; its words below say why.",
            "If the words below do not help, tell your own mail administrator.",
        ),
    },
)

CHINESE: Final = Words(
    sender_name="邮件投递系统",
    subjects={
        "failed": "未能送达：{subject}",
        "delayed": "延迟：{subject}",
        "delivered": "已送达：{subject}",
        "expanded": "已转发给多个地址：{subject}",
        "relayed": "已转交：{subject}",
    },
    openings={
        "failed": "您的邮件未能送达以下收件人：",
        "delayed": "您的邮件有所延迟，但没有丢失，无需重新发送。仍在等待送达：",
        "delivered": "您的邮件已送达：",
        "expanded": "您的邮件已到达以下地址。该地址代表多个收件人，邮件已转发给他们，此后仅在投递失败时另行通知：",
        "relayed": "您的邮件已转交下一台邮件服务器，该服务器不提供回报，此后不会再有通知：",
    },
    what="发生了什么",
    whose="看来是谁的问题",
    remedy="您可以做什么",
    said="{host} 的答复：{text}",
    until="我们将继续尝试，直到 {date}。",
    about="原邮件主题：{subject}",
    date="发送时间：{date}",
    attached="附件中有供管理员查看的详细信息，以及您的邮件或其开头部分。",
    no_subject="（无主题）",
    causes={
        "unknown-user": Cause(
            "{domain} 没有这个邮箱。",
            "地址有误：可能拼写错误，或该邮箱已不存在。",
            "请检查拼写，或通过其他方式向收件人询问正确的地址。",
        ),
        "no-domain": Cause(
            "域名 {domain} 不存在，或没有邮件服务。",
            "地址有误：@ 后面的部分可能拼写错误。",
            "请检查 @ 后面部分的拼写。",
        ),
        "no-mail": Cause(
            "域名 {domain} 声明不接收任何邮件。",
            "地址有误：该域名下没有人能收到邮件。",
            "请检查 @ 后面的部分，或向收件人索取其他地址。",
        ),
        "disabled": Cause(
            "该邮箱存在，但目前不接收邮件。",
            "收件人一方。",
            "请稍后再试，或通过其他方式联系收件人。",
        ),
        "full": Cause(
            "收件人的邮箱已满。",
            "收件人一方。",
            "请通过其他方式告知收件人，待其腾出空间后重新发送。",
        ),
        "too-large": Cause(
            "邮件大小超过了 {domain} 的限制。",
            "邮件本身：大小为 {size}。",
            "请去掉较大的附件，例如改为发送文件链接。",
        ),
        "refused": Cause(
            "{domain} 的服务器拒收了这封邮件。",
            "由收件人一方决定；原因见下面的答复。",
            "如果下面的答复没有帮助，请收件人允许接收您的邮件。",
        ),
        "reputation": Cause(
            "{domain} 的服务器认为这是垃圾邮件，或不信任我们的服务器。",
            "可能是我们的服务器，也可能是对方过于严格。",
            "请联系您自己的邮件管理员，并转发本报告。",
        ),
        "authentication": Cause(
            "{domain} 的服务器不相信这封邮件确实来自您的域名。",
            "我们一方：您的域名的 SPF、DKIM 或 DMARC 记录可能有误。",
            "请联系您自己的邮件管理员，并转发本报告。",
        ),
        "tls": Cause(
            "与 {domain} 的服务器之间无法建立足够安全的连接，因此没有发送任何内容。",
            "收件人的邮件服务器：其加密或证书有问题。",
            "暂时无需处理；如果持续如此，请告知收件人的管理员。",
        ),
        "no-answer": Cause(
            "{domain} 的邮件服务器没有响应。",
            "收件人的邮件服务器，或两地之间的网络。",
            "请检查 @ 后面的部分。如果无误，请等待，或通过其他方式联系收件人。",
        ),
        "dns": Cause(
            "目前无法查询 {domain} 的邮件服务器。",
            "{domain} 的域名服务器，或网络。",
            "请等待。如果持续如此，请检查 @ 后面的部分。",
        ),
        "loop": Cause(
            "邮件在服务器之间循环转发。",
            "邮件管理员：转发设置有误。",
            "请联系您自己的邮件管理员，并转发本报告。",
        ),
        "international": Cause(
            "{domain} 的服务器不支持含有非 ASCII 字符的地址或邮件头。",
            "收件人的邮件服务器版本过旧。",
            "请使用只含 ASCII 字母的地址收发。",
        ),
        "conversion": Cause(
            "{domain} 的服务器无法接收这种格式的邮件。",
            "收件人的邮件服务器版本过旧。",
            "请换一种形式发送，例如去掉不常见的附件。",
        ),
        "login": Cause(
            "我们的服务器无法登录负责转发的服务器。",
            "我们一方。",
            "请联系您自己的邮件管理员，并转发本报告。",
        ),
        "busy": Cause(
            "{domain} 的服务器要求我们稍后再试。",
            "没有人有错：许多服务器对尚不熟悉的发件方都会如此。",
            "无需处理，我们会自动重试。",
        ),
        "expired": Cause(
            "我们已尝试多日，{domain} 的服务器始终没有接收这封邮件。",
            "收件人的邮件服务器，或两地之间的网络。",
            "请检查 @ 后面的部分。如果无误，请通过其他方式联系收件人。",
        ),
        "other": Cause(
            "{domain} 的服务器没有接收这封邮件。",
            "很可能是收件人一方；原因见下面的答复。",
            "如果下面的答复没有帮助，请联系您自己的邮件管理员。",
        ),
    },
)

LANGUAGES: Final[dict[str, Words]] = {"en": ENGLISH, "zh": CHINESE}


def words(language: str) -> Words:
    """The words of a language tag (`zh-CN` counts as `zh`); English where we have none."""
    return LANGUAGES.get(language.lower().replace("_", "-").partition("-")[0], ENGLISH)
